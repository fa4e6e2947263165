"""Images built by a real engine: from repositories, archives, uploaded folders and Dockerfiles alone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import subprocess
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import asman
from asman.build_context import pack_folder
from asman_shared.definition import Build
from asman_shared.errors import BadRequest
from asman_shared.messages import STDOUT, SYSTEM, Abort, Finished, LogBatch, Outcome, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker import run_worker
from devtools.asman_processes import AsmanProcesses, HubProcess
from devtools.fake_hub import FakeHub, Line, job
from devtools.patience import PATIENCE
from devtools.registry import running_registry
from tests.integration.worker.conftest import config_for, first_line, worker
from tests.support.git_server import GitServer, running_git_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    async with running_git_server(folder) as made:
        yield made


@pytest.fixture
async def builds(hub: FakeHub, tmp_path: Path, busybox_image: str) -> AsyncIterator[Line]:
    """The connection of a worker that may fetch from this machine."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "TOKEN").write_text("s3cret-value\n")
    more = {"allow_host": "127.0.0.1", "pull": "never", "secrets": tmp_path / "secrets", "secret": "TOKEN=build:"}
    async with worker(config_for(hub, tmp_path / "data", **more)) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield line


async def outcome_of(line: Line, name: str, build: Build, **fields: Any) -> Outcome:
    await line.assign(name, build=build, **{"command": "cat /note", **fields})
    return (await line.expect(Finished, lambda message: message.job == job(name))).outcome


async def outcomes_of(line: Line, builds: list[Build]) -> list[Outcome]:
    """The outcomes of many builds at once, in their order."""
    for number, build in enumerate(builds):
        await line.assign(f"many-{number}", build=build, command="true")
    return [
        (await line.expect(Finished, lambda m, n=number: m.job == job(f"many-{n}"))).outcome  # type: ignore[misc]
        for number in range(len(builds))
    ]


def dockerfile(*lines: str) -> str:
    """A Dockerfile that no engine has built before."""
    return "\n".join(["FROM asman-test/busybox:latest", f"LABEL once={secrets.token_hex(8)}", *lines]) + "\n"


def notes(line: Line, name: str) -> list[str]:
    """What the job itself said."""
    return [each.text for each in line.lines(name) if each.stream == STDOUT and each.phase is Phase.RUNNING]


def tar(files: Mapping[str, str], mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            data = text.encode("utf-8", "surrogateescape")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


# ------------------------------------------------------------------------------------------------------ repositories


async def test_a_branch_is_resolved_to_a_commit_which_is_recorded_and_built_anew_when_it_moves(
    builds: Line, server: GitServer
) -> None:
    repository = server.repository("app")
    first = repository.commit({"Dockerfile": dockerfile("COPY note /note"), "note": "one\n"})
    url = f"{server.base}/app/.git"
    outcome = await outcome_of(builds, "a", Build(context=f"{url}#main"))
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == ["one"]
    assert outcome.result.origin == f"{url}@{first}"
    assert outcome.result.image_digest.startswith("sha256:")
    assert f"{url} is at commit {first}" in builds.texts("a", SYSTEM)
    again = await outcome_of(builds, "b", Build(context=f"{url}#main"))
    assert again.result.image_digest == outcome.result.image_digest
    assert any("exists" in text for text in builds.texts("b", SYSTEM))
    second = repository.commit({"note": "two\n"})
    moved = await outcome_of(builds, "c", Build(context=f"{url}#main"))
    assert moved.result.origin == f"{url}@{second}"
    assert notes(builds, "c") == ["two"]


async def test_tags_commits_and_subfolders_are_found(builds: Line, server: GitServer) -> None:
    repository = server.repository("app")
    first = repository.commit({"tools/one/Dockerfile": dockerfile("COPY note /note"), "tools/one/note": "tagged\n"})
    repository.git("tag", "-a", "v1", "-m", "a release")
    repository.commit({"tools/one/note": "later\n"})
    url = f"{server.base}/app/.git"
    outcome = await outcome_of(builds, "a", Build(context=f"{url}#v1:tools/one"))
    assert outcome.exit_code == 0, outcome.message
    assert (notes(builds, "a"), outcome.result.origin) == (["tagged"], f"{url}@{first}")
    await outcome_of(builds, "b", Build(context=f"{url}#{first}", build_context="tools/one"))
    assert notes(builds, "b") == ["tagged"]
    page = f"git+{server.base}/app/.git/tree/main/tools/one"
    await outcome_of(builds, "c", Build(context=page))
    assert notes(builds, "c") == ["later"]


async def test_submodules_are_part_of_the_files(builds: Line, server: GitServer) -> None:
    server.repository("inner").commit({"note": "from a submodule\n"})
    outer = server.repository("outer")
    outer.git("submodule", "--quiet", "add", f"{server.folder}/inner", "parts/inner")
    outer.git("config", "-f", ".gitmodules", "submodule.parts/inner.url", "../../inner/.git")
    outer.commit({"Dockerfile": dockerfile("COPY parts/inner/note /note")})
    outcome = await outcome_of(builds, "a", Build(context=f"{server.base}/outer/.git"))
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == ["from a submodule"]


async def test_a_repository_that_has_moved_is_found_where_it_is(builds: Line, server: GitServer) -> None:
    server.repository("app").commit({"Dockerfile": dockerfile("RUN echo moved > /note")})
    outcome = await outcome_of(builds, "a", Build(context=f"{server.base}/moved/app/.git"))
    assert outcome.exit_code == 0, outcome.message


NO_REPOSITORIES = [
    ("{base}/none/.git", "can't be read"),
    ("{base}/app/.git#no-such-branch", "has no branch or tag 'no-such-branch'"),
    ("{base}/app/.git#main:nowhere", "there is no folder 'nowhere'"),
    ("{base}/app/.git#" + "0" * 40, "has no commit"),
    ("{base}/away/app/.git", "link-local address"),
    ("http://user:pass@127.0.0.1/app.git", "must not hold a name, a password or a token"),
    ("ssh://git@127.0.0.1/app.git", "must be an https:// address"),
    ("file:///etc", "must be an https:// address"),
    ("{base}/app/.git#--upload-pack=touch /tmp/x", "is not a branch"),
    ("{base}/app/.git#main:../../etc", "leads out"),
    ("https://localhost/app.git", "loopback address"),
    ("http://[::ffff:169.254.169.254]/app.git", "only https:// is"),
    ("https://169.254.169.254/app.git", "link-local address"),
]


async def test_a_repository_that_can_not_be_built_from_is_one_clear_sentence(builds: Line, server: GitServer) -> None:
    server.repository("app").commit({"Dockerfile": dockerfile()})
    wanted = [Build(context=context.format(base=server.base)) for context, _ in NO_REPOSITORIES]
    for outcome, (_, says) in zip(await outcomes_of(builds, wanted), NO_REPOSITORIES, strict=True):
        assert outcome.kind == "error"
        assert says in outcome.message
        assert "\n" not in outcome.message


async def test_files_of_a_repository_are_as_they_are_committed(builds: Line, server: GitServer) -> None:
    repository = server.repository("app")
    attributes = "note export-ignore\nid export-subst\n"
    files = {"note": "kept\n", "id": "$Format:%H$\n", ".gitattributes": attributes}
    repository.commit({"Dockerfile": dockerfile("COPY note id /"), **files})
    outcome = await outcome_of(builds, "a", Build(context=f"{server.base}/app/.git"), command="cat /note /id")
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == ["kept", "$Format:%H$"]


async def test_a_repository_that_is_too_large_is_stopped(hub: FakeHub, tmp_path: Path, server: GitServer) -> None:
    server.repository("app").commit({"Dockerfile": dockerfile(), "big": secrets.token_hex(1_500_000)})
    async with worker(config_for(hub, tmp_path / "data", allow_host="127.0.0.1", max_context="1MiB")) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", Build(context=f"{server.base}/app/.git"))
        assert outcome.kind == "error"
        assert "1 MiB" in outcome.message


# ------------------------------------------------------------------------------------------------- archives, uploads


@pytest.mark.parametrize("form", ["w:gz", "zip"])
async def test_an_archive_is_told_by_its_content_and_its_outer_folder_passed_over(
    builds: Line, server: GitServer, form: str
) -> None:
    files = {"app-1.0/Dockerfile": dockerfile("COPY note /note"), "app-1.0/note": f"packed {form}\n"}
    if form == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        data = packed.getvalue()
    else:
        data = tar(files, form)
    (server.folder / "download").write_bytes(data)
    outcome = await outcome_of(builds, "a", Build(context=f"{server.base}/files/download"))
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == [f"packed {form}"]
    assert outcome.result.origin.startswith("sha256:")
    (server.folder / "download").write_bytes(tar({"Dockerfile": dockerfile("RUN echo other > /note")}))
    other = await outcome_of(builds, "b", Build(context=f"{server.base}/files/download"))
    assert other.result.image_digest != outcome.result.image_digest
    assert notes(builds, "b") == ["other"]


async def test_an_uploaded_folder_is_built(hub: FakeHub, builds: Line) -> None:
    key = hub.store(tar({"Dockerfile": dockerfile("COPY sub/note /note"), "sub/note": "uploaded\n"}))
    outcome = await outcome_of(builds, "a", Build(context=f"key:{key}"))
    assert outcome.exit_code == 0, outcome.message
    assert (notes(builds, "a"), outcome.result.origin) == (["uploaded"], f"key:{key}")
    missing = await outcome_of(builds, "b", Build(context="key:" + "0" * 64))
    assert (missing.kind, missing.fault) == ("error", Fault.JOB)


async def test_a_folder_with_a_virtual_environment_is_built_and_its_absolute_links_stay(
    hub: FakeHub, builds: Line, tmp_path: Path
) -> None:
    folder = tmp_path / "tool"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python3.11").symlink_to("/usr/bin/python3.11")
    (folder / ".venv" / "bin" / "python").symlink_to("python3.11")
    (folder / ".venv" / "outside").symlink_to("/etc/hostname")
    links = "for each in bin/python bin/python3.11 outside; do readlink /app/.venv/$each; done > /note"
    (folder / "Dockerfile").write_text(dockerfile("COPY . /app", f"RUN {links}"))
    context, blob = pack_folder(folder)
    with os.fdopen(blob.source(), "rb") as packed:  # type: ignore[operator]
        assert context == f"key:{hub.store(packed.read())}"
    outcome = await outcome_of(builds, "a", Build(context=context))
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == ["python3.11", "/usr/bin/python3.11", "/etc/hostname"]


async def test_the_builder_follows_an_absolute_link_to_no_file_of_this_machine(
    hub: FakeHub, builds: Line, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of the host")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
        way = tarfile.TarInfo("way")
        way.type, way.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(way)
        through = tarfile.TarInfo("way/planted")
        archive.addfile(through)
    key = hub.store(packed.getvalue())
    for name, path in (("a", "link"), ("b", "way/secret")):
        text = dockerfile(f"COPY {path} /note")
        outcome = await outcome_of(builds, name, Build(context=f"key:{key}", dockerfile=text))
        assert "of the host" not in "".join(builds.texts(name)), outcome
    assert not (tmp_path / "planted").exists()


async def test_what_is_no_archive_or_is_gone_is_one_clear_sentence(builds: Line, server: GitServer) -> None:
    (server.folder / "page").write_text("<html>not what you want</html>")
    outcome = await outcome_of(builds, "a", Build(context=f"{server.base}/files/page"))
    assert "is not an archive" in outcome.message
    gone = await outcome_of(builds, "b", Build(context=f"{server.base}/files/gone.tar.gz"))
    assert (gone.fault, "404" in gone.message) == (Fault.JOB, True)
    away = await outcome_of(builds, "c", Build(context=f"{server.base}/away/x.tar.gz"))
    assert "link-local address" in away.message


# ----------------------------------------------------------------------------------------------------- the Dockerfile


async def test_a_dockerfile_as_text_is_built_alone_and_over_a_context(builds: Line, server: GitServer) -> None:
    alone = await outcome_of(builds, "a", Build(dockerfile=dockerfile("RUN echo alone > /note")))
    assert alone.exit_code == 0, alone.message
    assert (notes(builds, "a"), alone.result.origin) == (["alone"], "")
    server.repository("app").commit({"Dockerfile": "FROM scratch\n", "note": "over\n"})
    text = dockerfile("COPY note /note")
    await outcome_of(builds, "b", Build(context=f"{server.base}/app/.git", dockerfile=text))
    assert notes(builds, "b") == ["over"]


async def test_filename_target_platform_and_arguments_count(hub: FakeHub, builds: Line) -> None:
    text = (
        "ARG BASE=no-such-image\nFROM $BASE AS first\nARG WORD\nRUN echo $WORD > /note\n"
        f"FROM first AS second\nRUN echo {secrets.token_hex(4)} > /note\n"
    )
    key = hub.store(tar({"docker/Special": text, "sub/x": "y"}))
    args = ["BASE=asman-test/busybox", "WORD=said"]
    build = Build(context=f"key:{key}", filename="docker/Special", target="first", build_args=args)
    outcome = await outcome_of(builds, "a", build)
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == ["said"]
    build.build_args = ["BASE=asman-test/busybox", "WORD=other"]
    build.platform = "linux/amd64"
    build.build_context = "sub"
    other = await outcome_of(builds, "b", build)
    assert other.exit_code == 0, other.message
    assert notes(builds, "b") == ["other"]


NO_BUILDS = [
    (Build(), "neither a context nor a Dockerfile"),
    (Build(dockerfile="RUN true"), "has no FROM"),
    (Build(dockerfile="FROM scratch\nRUN --mount=type=secret,id=x true"), "BuildKit"),
    (Build(dockerfile="FROM asman-test/busybox\nRUN exit 7"), "returned a non-zero code: 7"),
    (Build(dockerfile="FROM asman-test/busybox AS a", target="nope"), "nope"),
    (Build(dockerfile="FROM asman-test/none:at-all"), "--pull never"),
    (Build(dockerfile="FROM asman-test/busybox\nCOPY gone /gone"), "gone"),
    (Build(context="key:{key}", filename="../../etc/passwd"), "leads out"),
    (Build(context="key:{key}", filename="/etc/passwd"), "not a path inside"),
    (Build(context="key:{key}", filename="link"), "links are not followed"),
    (Build(context="key:{key}", filename="nowhere"), "there is no 'nowhere'"),
    (Build(context="key:{key}", build_context="../.."), "leads out"),
    (Build(dockerfile="FROM scratch", build_args=["A B=c"]), "a build argument must be"),
    (Build(dockerfile="FROM scratch", build_args=["MISSING"]), "the secret 'MISSING', which this worker does not"),
]


async def test_a_build_that_can_not_be_is_one_clear_sentence(hub: FakeHub, builds: Line) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "Dockerfile"
        archive.addfile(link)
    key = hub.store(packed.getvalue())
    for build, _ in NO_BUILDS:
        build.context = f"key:{key}" if build.context else None
    for outcome, (_, says) in zip(await outcomes_of(builds, [build for build, _ in NO_BUILDS]), NO_BUILDS, strict=True):
        assert outcome.kind == "error"
        assert says in outcome.message
        assert "\n" not in outcome.message


async def test_a_step_of_a_build_has_the_bound_on_processes_and_one_on_files(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    pids = "$(cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null)"
    bounded = f'i=0; until [ "{pids}" = 64 ]; do i=$((i+1)); [ $i -lt 100 ] || exit 9; sleep 0.1; done; exit 7'
    files = "mkdir /many; for each in $(seq 300); do : > /many/$each; done; sleep 600"
    async with worker(config_for(hub, tmp_path, pids=64, disk_files=200)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", Build(dockerfile=f"FROM asman-test/busybox\nRUN {bounded}"))
        assert "returned a non-zero code: 7" in outcome.message
        outcome = await outcome_of(line, "b", Build(dockerfile=f"FROM asman-test/busybox\nRUN {files}"))
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert outcome.message == (
            "the build was stopped: it made 301 files, and the maximum is 200 (ASMAN_WORKER_DISK_FILES)"
        )


async def test_what_the_engine_says_of_its_machine_is_not_told_to_who_builds(
    builds: Line, caplog: pytest.LogCaptureFixture
) -> None:
    # The engine can't make a folder where a file is, and names the place on its disk.
    text = dockerfile("RUN touch /file", "WORKDIR /file/folder")
    outcome = await outcome_of(builds, "a", Build(dockerfile=text))
    assert outcome.kind == "error"
    assert outcome.message == "the build failed at step 4/5: the engine's words are in the worker's log"
    assert "the engine says" in caplog.text
    assert "/file/folder" in caplog.text


async def test_the_log_of_a_build_has_its_own_phase(builds: Line) -> None:
    text = dockerfile("RUN echo from the build && echo ok > /note")
    outcome = await outcome_of(builds, "a", Build(dockerfile=text))
    lines = [each.text for each in builds.lines("a") if each.phase is Phase.BUILDING]
    assert "from the build" in lines
    assert any(text.startswith("Step 1/4 : FROM") for text in lines)
    assert Phase.BUILDING in outcome.result.phases


async def test_the_base_of_a_build_is_pulled_with_its_own_phase(hub: FakeHub, tmp_path: Path, engine: object) -> None:
    async with running_registry() as registry:
        base = registry.add(f"base-{secrets.token_hex(4)}:v1", {"note": secrets.token_hex(20).encode()})
        async with worker(config_for(hub, tmp_path, allow_host="127.0.0.1")) as task:
            line = await first_line(hub, task)
            await line.answer()
            outcome = await outcome_of(line, "a", Build(dockerfile=f"FROM {base}\n"))
            assert outcome.exit_code == 0, outcome.message
            phases = [m.phase for m in line.messages if isinstance(m, PhaseReport)]
            assert phases.index(Phase.BUILDING) < phases.index(Phase.PULLING) < phases.index(Phase.RUNNING)


async def test_a_build_is_cancelled_and_leaves_no_container(builds: Line, hub: FakeHub) -> None:
    mark = f"once={secrets.token_hex(8)}"
    text = f"FROM asman-test/busybox\nLABEL {mark}\nRUN echo begun; sleep 1000\n"
    await builds.assign("a", build=Build(dockerfile=text), command="true")
    await builds.expect(LogBatch, lambda m: any(each.text == "begun" for each in m.lines))
    await builds.send(Abort(job("a"), 1))
    await builds.expect(Released)
    command = ["docker", "ps", "-q", "--filter", "status=running", "--filter", f"label={mark}"]
    async with asyncio.timeout(PATIENCE):
        while (await asyncio.to_thread(subprocess.check_output, command)).split():
            await asyncio.sleep(0.1)


async def test_a_build_that_takes_too_long_says_so(hub: FakeHub, tmp_path: Path, busybox_image: str) -> None:
    async with worker(config_for(hub, tmp_path, build_limit="1s", pull="never")) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", Build(dockerfile=dockerfile("RUN sleep 1000")))
        assert outcome.message == "building (making the image) took longer than its limit of 1 s"


# ------------------------------------------------------------------------------------------------------------ secrets


async def test_a_secret_is_used_by_name_and_shown_nowhere(builds: Line, tmp_path: Path) -> None:
    text = dockerfile("ARG TOKEN", "RUN echo got $TOKEN; echo -n $TOKEN | wc -c > /note")
    outcome = await outcome_of(builds, "a", Build(dockerfile=text, build_args=["TOKEN"]))
    assert outcome.exit_code == 0, outcome.message
    assert notes(builds, "a") == ["12"]
    assert "got ***" in builds.texts("a")
    assert "s3cret" not in repr(builds.messages)
    # The image is the same whatever the secret's value: it is not in the key.
    (tmp_path / "secrets" / "TOKEN").write_text("another-value")
    again = await outcome_of(builds, "b", Build(dockerfile=text, build_args=["TOKEN"]))
    assert again.result.image_digest == outcome.result.image_digest


async def test_a_secret_that_would_stay_in_the_images_settings_is_refused(builds: Line) -> None:
    text = dockerfile("ARG TOKEN", "ENV KEPT=$TOKEN")
    outcome = await outcome_of(builds, "a", Build(dockerfile=text, build_args=["TOKEN"]))
    assert "would leave a secret" in outcome.message
    named = subprocess.run(
        ["docker", "images", "--format", "{{json .}}", "--filter", "reference=asman.built/*"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    ids = [json.loads(each)["ID"] for each in named.stdout.splitlines()]
    for image in ids:
        shown = subprocess.run(["docker", "inspect", image], check=True, capture_output=True, text=True).stdout
        assert "s3cret-value" not in json.dumps(json.loads(shown)[0]["Config"])


async def test_a_secret_in_an_error_is_masked(builds: Line) -> None:
    text = dockerfile("ARG TOKEN", "COPY $TOKEN /x")
    outcome = await outcome_of(builds, "a", Build(dockerfile=text, build_args=["TOKEN"]))
    assert outcome.kind == "error"
    assert "***" in outcome.message
    assert "s3cret" not in repr(builds.messages)


async def test_a_secret_is_for_builds_of_the_sources_that_the_operator_names_alone(
    hub: FakeHub, tmp_path: Path, busybox_image: str, server: GitServer
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "TOKEN").write_text("s3cret-value")
    shows = dockerfile("ARG TOKEN", "RUN echo $TOKEN | rev > /note")
    for name in ("mine/app", "other/app"):
        (server.folder / name).parent.mkdir()
        commit = server.repository(name).commit({"Dockerfile": shows})
    key = hub.store(tar({"Dockerfile": shows}))
    (server.folder / "mine.tgz").write_bytes(tar({"Dockerfile": shows}))
    mine, other = (f"{server.base}/{name}/app/.git" for name in ("mine", "other"))
    refused = [
        Build(context=other), Build(context=f"{server.base}/mine/../other/app/.git"), Build(dockerfile=shows),
        Build(context=mine, dockerfile=shows), Build(context=f"key:{key}"), Build(context=f"{mine}#{commit}"),
        Build(context=mine, build_args=["BASE=x"]), Build(context=f"{server.base}/files/mine.tgz"),
    ]  # fmt: skip
    for build in refused:
        build.build_args = [*(build.build_args or ()), "TOKEN"]
    more = {"secrets": tmp_path / "secrets", "secret": f"TOKEN=build:{server.base}/mine/*", "allow_host": "127.0.0.1"}
    async with worker(config_for(hub, tmp_path / "data", **more)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", Build(context=f"{mine}#main", build_args=["TOKEN"]))
        assert (outcome.exit_code, notes(line, "a")) == (0, ["eulav-terc3s"]), outcome.message
        for outcome in await outcomes_of(line, refused):
            assert outcome.kind == "error"
            assert "the secret 'TOKEN', which this worker does not hold for it" in outcome.message or (
                "must not have '.' or '..'" in outcome.message
            )


async def test_a_login_is_for_the_repositories_that_the_operator_names_with_their_own_dockerfile(
    hub: FakeHub, tmp_path: Path, busybox_image: str, server: GitServer
) -> None:
    text = dockerfile("COPY . /all", "RUN cp /all/note /note")
    for name in ("mine/app", "private/app", "open/app"):
        (server.folder / name).parent.mkdir()
        server.repository(name).commit({"Dockerfile": text, "note": f"of {name}\n"})
    outer = server.repository("outer")
    outer.git("submodule", "--quiet", "add", f"{server.folder}/mine/app", "inner")
    outer.git("config", "-f", ".gitmodules", "submodule.inner.url", f"{server.base}/mine/app/.git")
    outer.commit({"Dockerfile": dockerfile("COPY inner/note /note")})
    server.private = ("/mine/", "/private/")
    logins = tmp_path / "logins"
    # As an editor of Windows writes it: with a byte order mark and other line ends.
    written = f"\ufeffhttp://{server.login}@127.0.0.1:{server.port}\r\nhttp://other:login@other.example\r\n".encode()
    logins.write_bytes(written)
    more = {"git_credentials": logins, "git_credentials_for": f"build:{server.base}/mine/*", "allow_host": "127.0.0.1"}
    async with worker(config_for(hub, tmp_path / "data", **more)) as task:
        line = await first_line(hub, task)
        await line.answer()
        for name in ("mine/app", "open/app"):
            outcome = await outcome_of(line, name, Build(context=f"{server.base}/{name}/.git"))
            assert (outcome.exit_code, notes(line, name)) == (0, [f"of {name}"]), outcome.message
        builds = [
            Build(context=f"{server.base}/private/app/.git"),
            Build(context=f"{server.base}/mine/app/.git", dockerfile=text),
            Build(context=f"{server.base}/outer/.git"),
            Build(context=f"{server.base}/moved/mine/app/.git"),
        ]
        for outcome in await outcomes_of(line, builds):
            assert outcome.kind == "error"
            assert "is private or does not exist" in outcome.message
    assert logins.read_bytes() == written


@pytest.mark.parametrize("setting", ["secrets", "git_credentials"])
async def test_a_worker_whose_secrets_are_bound_to_nothing_says_so_at_its_start(
    hub: FakeHub, tmp_path: Path, engine: object, setting: str
) -> None:
    with pytest.raises(BadRequest, match="no build would"):
        await run_worker(config_for(hub, tmp_path / "data", **{setting: tmp_path}))


# -------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rules", "build", "refused"),
    [
        ({"allow_image": "alpine"}, Build(dockerfile="FROM asman-test/busybox"), "allows other images"),
        ({"allow_image": "build:,asman-test/*"}, Build(dockerfile="FROM asman-test/busybox\nCMD true"), ""),
        ({"allow_image": "build:"}, Build(dockerfile="FROM asman-test/busybox"), "allows other images"),
        ({"deny_image": "build:*"}, Build(dockerfile="FROM asman-test/busybox"), "does not allow"),
        (
            {"deny_image": "*/busybox"},
            Build(dockerfile="FROM scratch AS x\nCOPY --from=asman-test/busybox / /"),
            "allow",
        ),
        ({"deny_image": "*/busybox"}, Build(dockerfile="ARG B=busybox\nFROM asman-test/${B}"), "does not allow"),
    ],
)
async def test_the_operators_rules_hold_for_builds_and_what_they_begin_from(
    hub: FakeHub, tmp_path: Path, busybox_image: str, rules: dict[str, str], build: Build, refused: str
) -> None:
    async with worker(config_for(hub, tmp_path, pull="never", **rules)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", build, command="true")
        if refused:
            assert refused in outcome.message, outcome.message
        else:
            assert outcome.exit_code == 0, outcome.message


async def test_a_folder_given_to_the_library_is_uploaded_and_built(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path, busybox_image: str
) -> None:
    folder = tmp_path / "tool"
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile("COPY note /note"))
    (folder / "note").write_text("from a folder\n")
    url = (await asyncio.to_thread(hub_process)).queue("folders")
    options = ["--network", "none", "--pull", "never", "--local-images", "asman-test/*"]
    options += ["--data-dir", str(tmp_path / "data")]
    await asyncio.to_thread(processes.worker, url, *options)
    async with asman.connect(url) as queue:
        job = await queue.submit(build={"context": folder}, command="cat /note")
        result = await job.result(timeout=60)
        said = [line.text async for line in job.logs(follow=False) if line.phase == "running"]
    assert said == ["from a folder"]
    assert result.exit_code == 0
