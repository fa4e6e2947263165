"""Images pulled by a real engine from a registry that does what the test says."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Build
from asman_shared.messages import SYSTEM, Abort, Finished, Outcome, PhaseReport, Released
from asman_shared.states import Fault, Phase
from asman_worker import WorkerConfig
from devtools.fake_hub import FakeHub, Line, job
from devtools.ports import free_port
from devtools.registry import Registry, running_registry
from tests.integration.worker import conftest
from tests.integration.worker.conftest import first_line, worker


def config_for(hub: FakeHub, data_dir: Path, **more: Any) -> WorkerConfig:
    """A worker whose operator allows the registry of these tests, which is on this machine."""
    return conftest.config_for(hub, data_dir, **{"allow_host": "127.0.0.1", **more})


@pytest.fixture
async def registry(engine: object) -> AsyncIterator[Registry]:
    async with running_registry() as made:
        yield made


def unique(name: str) -> str:
    """A name that the engine does not have from an earlier test."""
    return f"{name}-{secrets.token_hex(4)}:v1"


async def outcome_of(line: Line, name: str, **fields: Any) -> Outcome:
    await line.assign(name, **fields)
    return (await line.expect(Finished, lambda message: message.job == job(name))).outcome


def pulls(registry: Registry, name: str) -> int:
    """How often a manifest was fetched by its tag."""
    repository, _, tag = name.removeprefix(f"{registry.host}/").partition(":")
    return registry.asked.count(f"/v2/{repository}/manifests/{tag}")


async def test_a_missing_image_is_pulled_in_its_own_phase_and_its_digest_is_told(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"note": b"from the registry\n" + secrets.token_hex().encode()})
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="cat /note")
        assert outcome.exit_code == 0, outcome.message
        assert "from the registry" in line.texts("a")
        assert outcome.result.image_digest == registry.digest(image.removeprefix(f"{registry.host}/"))
        assert Phase.PULLING in outcome.result.phases
        said = line.texts("a", SYSTEM)
        assert len(said) == 1
        assert said[0].startswith(f"pulled {image} (2 layers, ")
        again = await outcome_of(line, "b", image=image, command="true")
        assert Phase.PULLING not in again.result.phases


async def test_a_pull_shared_by_jobs_is_one_pull_and_its_progress_is_numbers(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"big": secrets.token_bytes(3_000_000)})
    registry.open.clear()
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        for name in "abc":
            await line.assign(name, image=image, command="true")
            await line.expect(PhaseReport, lambda m, n=name: m.job == job(n) and m.phase is Phase.PULLING)  # type: ignore[misc]
        registry.open.set()
        for name in "abc":
            finished = await line.expect(Finished, lambda m, n=name: m.job == job(n))  # type: ignore[misc]
            assert finished.outcome.exit_code == 0, finished.outcome.message
        asked = [path for path in registry.asked if "/blobs/" in path]
        assert len(asked) == len(set(asked))
        numbers = [m for m in line.messages if isinstance(m, PhaseReport) and m.phase is Phase.PULLING and m.unit]
        assert {m.unit for m in numbers} <= {"bytes", "layers"}
        assert all(m.done <= m.total for m in numbers)


async def test_one_who_leaves_does_not_end_the_pull_of_the_others_and_the_last_one_does(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(1000)})
    registry.open.clear()
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        for name in "ab":
            await line.assign(name, image=image, command="true")
            await line.expect(PhaseReport, lambda m, n=name: m.job == job(n) and m.phase is Phase.PULLING)  # type: ignore[misc]
        await line.send(Abort(job("a"), 1))
        await line.expect(Released, lambda m: m.job == job("a"))
        registry.open.set()
        finished = await line.expect(Finished, lambda m: m.job == job("b"))
        assert finished.outcome.exit_code == 0, finished.outcome.message
        registry.open.clear()
        other = registry.add(unique("other"), {"y": secrets.token_bytes(1000)})
        await line.assign("c", image=other, command="true")
        await line.expect(PhaseReport, lambda m: m.job == job("c") and m.phase is Phase.PULLING)
        await line.send(Abort(job("c"), 1))
        await line.expect(Released, lambda m: m.job == job("c"))
        registry.open.set()
        again = await outcome_of(line, "d", image=other, command="true")
        assert again.exit_code == 0, again.message


async def test_policy_always_asks_the_registry_and_takes_what_is_new(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    name = unique("app")
    image = registry.add(name, {"note": b"old\n"})
    async with worker(config_for(hub, tmp_path, pull="always", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        await outcome_of(line, "a", image=image, command="cat /note")
        registry.add(name, {"note": b"new\n"})
        await outcome_of(line, "b", image=image, command="cat /note")
        assert "old" in line.texts("a")
        assert "new" in line.texts("b")
        assert pulls(registry, image) == 2


async def test_policy_never_refuses_what_is_not_there(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(1000)})
    async with worker(config_for(hub, tmp_path, pull="never", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="true")
        assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
        assert "--pull never" in outcome.message
        assert registry.asked == []


async def test_a_name_that_no_registry_knows_is_the_jobs_fault(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=f"{registry.host}/there/is-none:v1", command="true")
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert f"'{registry.host}/there/is-none:v1' could not be pulled" in outcome.message


async def test_a_registry_that_fails_for_a_moment_is_asked_again(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(1000)})
    registry.fail = 1
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="true")
        assert outcome.exit_code == 0, outcome.message


@pytest.mark.parametrize("means", ["docker", "oci"], indirect=True)
async def test_a_private_image_needs_a_worker_that_may(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    registry.login = "me:s3cret-password"
    image = registry.add(unique("app"), {"x": secrets.token_bytes(1000)})
    async with worker(config_for(hub, tmp_path / "one", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="true")
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert "--registry-auth" in outcome.message
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"auths": {registry.host: {"auth": base64.b64encode(b"me:s3cret-password").decode()}}}))
    async with worker(config_for(hub, tmp_path / "two", registry_auth=auth, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="env")
        assert outcome.exit_code == 0, outcome.message
        assert "s3cret" not in " ".join(line.texts("a"))


async def test_the_platform_that_a_job_asks_for_is_pulled(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add_for(unique("app"), {"amd64": {"note": b"amd64\n"}, "arm64": {"note": b"arm64\n"}})
    async with worker(config_for(hub, tmp_path, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        native = await outcome_of(line, "a", image=image, command="cat /note")
        assert native.exit_code == 0, native.message
        assert "amd64" in line.texts("a")
        await outcome_of(line, "b", image=image, build=Build(platform="linux/arm64"), command="cat /note")
        # The program is this machine's, whatever the image says it is for.
        assert "arm64" in line.texts("b")
        outcome = await outcome_of(line, "c", image=image, build=Build(platform="linux/s390x"), command="true")
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert "linux/s390x" in outcome.message


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ({"deny_image": "127.0.0.1:*"}, True),
        ({"allow_image": "alpine,busybox:*"}, True),
        ({"allow_image": "127.0.0.1:*/app-*"}, False),
        ({"allow_image": "127.0.0.1:*", "deny_image": "*/app-*:v1"}, True),
    ],
)
async def test_images_are_used_as_the_operator_says(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any], rules: dict[str, str], refused: bool
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(1000)})
    async with worker(config_for(hub, tmp_path, **rules, **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="true")
        assert (outcome.kind == "error") is refused, outcome.message
        if refused:
            assert "operator" in outcome.message
            assert registry.asked == []


async def test_a_pull_that_takes_too_long_says_so_and_stops(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(1000)})
    registry.open.clear()
    async with worker(config_for(hub, tmp_path, pull_limit="300ms", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=image, command="true")
        assert outcome.kind == "timed_out"
        assert outcome.message == "pulling (getting the image) took longer than its limit of 300 ms"


# ----------------------------------------------------------------------------------------------- the owner's images


def tag(image: str, name: str) -> None:
    subprocess.run(["docker", "tag", image, name], check=True, capture_output=True)


def id_of(name: str) -> str:
    return subprocess.check_output(["docker", "inspect", "--format", "{{.Id}}", name], text=True).strip()


async def test_an_image_of_the_machines_owner_is_not_for_jobs_under_any_of_its_names(
    hub: FakeHub, tmp_path: Path, registry: Registry, busybox_image: str
) -> None:
    name = unique("private")
    await asyncio.to_thread(tag, busybox_image, name)
    # The owner pushed it, so that the engine knows a digest of it, too; the registry does not give it to strangers.
    known = registry.add(unique("pushed"), {"x": secrets.token_bytes(100)})
    await asyncio.to_thread(subprocess.run, ["docker", "pull", "-q", known], check=True, capture_output=True)
    digest = registry.digest(known.removeprefix(f"{registry.host}/"))
    registry.login = "me:secret"
    names = [name, f"docker.io/library/{name}", f"index.docker.io/library/{name}", known, f"{known}@{digest}",
             f"{known.rpartition(':')[0]}@{digest}"]  # fmt: skip
    for policy in ("missing", "always", "never"):
        async with worker(config_for(hub, tmp_path / policy, pull=policy, local_images="")) as task:
            line = await first_line(hub, task)
            await line.answer()
            for number, image in enumerate(names):
                outcome = await outcome_of(line, f"{number}", image=image, command="echo ran")
                assert outcome.kind == "error", f"{policy} {image}"
            text = f"FROM {name}\nRUN echo ran\n"
            await line.assign("b", build=Build(dockerfile=text), command="echo ran")
            assert (await line.expect(Finished, lambda m: m.job == job("b"))).outcome.kind == "error"
            assert not any("ran" in each.split() for number in (*range(len(names)), "b") for each in
                           line.texts(f"{number}"))  # fmt: skip


@pytest.mark.parametrize(("pattern", "runs"), [("private-*", True), ("docker.io/library/*", True), ("other-*", False)])
async def test_an_image_of_the_machines_owner_is_for_jobs_if_the_operator_names_it(
    hub: FakeHub, tmp_path: Path, busybox_image: str, pattern: str, runs: bool
) -> None:
    name = unique("private")
    await asyncio.to_thread(tag, busybox_image, name)
    async with worker(config_for(hub, tmp_path, pull="never", local_images=pattern)) as task:
        line = await first_line(hub, task)
        await line.answer()
        # One image: what is said of one name of it holds for all.
        for number, image in enumerate((name, f"docker.io/library/{name}", busybox_image)):
            outcome = await outcome_of(line, f"{number}", image=image, command="true")
            assert (outcome.exit_code == 0) is runs, outcome.message


async def test_what_the_worker_pulled_is_for_jobs_after_a_restart_without_asking_the_registry_again(
    hub: FakeHub, tmp_path: Path, registry: Registry, means: dict[str, Any]
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(100)})
    digest = registry.digest(image.removeprefix(f"{registry.host}/"))
    for policy, names in (("missing", [image]), ("never", [image, f"{image.rpartition(':')[0]}@{digest}"])):
        async with worker(config_for(hub, tmp_path, pull=policy, local_images="", **means)) as task:
            line = await first_line(hub, task)
            await line.answer()
            for number, name in enumerate(names):
                outcome = await outcome_of(line, f"{policy}{number}", image=name, command="true")
                assert outcome.exit_code == 0, outcome.message
    assert pulls(registry, image) <= 2


async def test_a_name_that_the_owner_uses_for_another_image_stays_his_and_the_job_gets_the_registrys(
    hub: FakeHub, tmp_path: Path, registry: Registry, busybox_image: str
) -> None:
    image = registry.add(unique("app"), {"note": b"the registry's\n"})
    await asyncio.to_thread(tag, busybox_image, image)
    before = await asyncio.to_thread(id_of, image)
    for _ in range(2):
        async with worker(config_for(hub, tmp_path, local_images="")) as task:
            line = await first_line(hub, task)
            await line.answer()
            outcome = await outcome_of(line, "a", image=image, command="cat /note")
            assert outcome.exit_code == 0, outcome.message
            assert "the registry's" in line.texts("a")
        asked = len(registry.asked)
    assert len(registry.asked) == asked, "the second worker knows what the first one pulled"
    assert await asyncio.to_thread(id_of, image) == before


async def test_an_image_that_the_owner_pulled_is_for_jobs_once_the_registry_gives_it_and_is_never_removed(
    hub: FakeHub, tmp_path: Path, registry: Registry
) -> None:
    image = registry.add(unique("app"), {"x": secrets.token_bytes(100)})
    await asyncio.to_thread(subprocess.run, ["docker", "pull", "-q", image], check=True, capture_output=True)
    asked = len(registry.asked)
    async with worker(config_for(hub, tmp_path, local_images="")) as task:
        line = await first_line(hub, task)
        await line.answer()
        assert (await outcome_of(line, "a", image=image, command="true")).exit_code == 0
        assert len(registry.asked) > asked
    for file, holds in (("images.json", False), ("shared-images.json", True)):
        path = tmp_path / file
        assert (path.exists() and await asyncio.to_thread(id_of, image) in path.read_text()) is holds


# --------------------------------------------------------------------------------------- registries that are elsewhere


PRIVATE_REGISTRIES = ["127.0.0.1:{port}/a/b", "localhost:{port}/a", "localhost/a", "169.254.169.254/latest/meta-data",
                      "10.0.0.1:5000/x", "2130706433:{port}/a", "0.0.0.0:{port}/a", "0x7f.1:{port}/a",
                      "127.1:{port}/a"]  # fmt: skip


async def test_an_image_of_a_registry_on_the_workers_own_network_is_not_asked_for(
    hub: FakeHub, tmp_path: Path, registry: Registry
) -> None:
    names = [name.format(port=registry.port) for name in PRIVATE_REGISTRIES]
    for policy in ("missing", "always"):
        async with worker(config_for(hub, tmp_path / policy, pull=policy, allow_host="")) as task:
            line = await first_line(hub, task)
            await line.answer()
            for number, name in enumerate(names):
                image = await outcome_of(line, f"image-{number}", image=name, command="true")
                base = await outcome_of(line, f"base-{number}", build=Build(dockerfile=f"FROM {name}"), command="true")
                text = f"FROM scratch\nCOPY --from={name} / /"
                copied = await outcome_of(line, f"copied-{number}", build=Build(dockerfile=text), command="true")
                for outcome in (image, base, copied):
                    assert outcome.kind == "error", name
                    assert "is not fetched for jobs" in outcome.message, outcome.message
    assert registry.asked == []


async def test_without_an_engine_such_a_registry_is_not_asked_either(
    hub: FakeHub, tmp_path: Path, registry: Registry, busybox_archive: Path
) -> None:
    more = {"executor": "oci", "oci_image": str(busybox_archive), "allow_host": ""}
    for policy in ("missing", "always"):
        async with worker(config_for(hub, tmp_path / policy, pull=policy, **more)) as task:
            line = await first_line(hub, task)
            await line.answer()
            for number, name in enumerate(PRIVATE_REGISTRIES):
                named = name.format(port=registry.port)
                outcome = await outcome_of(line, f"image-{number}", image=named, command="true")
                assert outcome.kind == "error", name
                assert "is not fetched for jobs" in outcome.message, outcome.message
    assert registry.asked == []


async def test_what_the_engine_says_of_its_network_is_not_told_to_submitters(
    hub: FakeHub, tmp_path: Path, engine: object
) -> None:
    port = free_port()
    async with worker(config_for(hub, tmp_path)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image=f"127.0.0.1:{port}/a/b", command="true")
    assert outcome.fault is Fault.WORKER
    assert "its registry can't be reached, or does not answer as it should" in outcome.message
    assert not any(word in outcome.message for word in ("dial", "tcp", "refused", "http"))


async def test_an_image_that_was_built_here_can_not_be_named(hub: FakeHub, tmp_path: Path, engine: object) -> None:
    async with worker(config_for(hub, tmp_path)) as task:
        line = await first_line(hub, task)
        await line.answer()
        outcome = await outcome_of(line, "a", image="asman.built/abc:def", command="true")
        assert "name the build instead" in outcome.message


async def test_a_job_runs_the_image_that_was_chosen_though_its_tag_moves_meanwhile(
    hub: FakeHub, tmp_path: Path, registry: Registry
) -> None:
    image = registry.add(unique("app"), {"note": b"first\n"})
    async with worker(config_for(hub, tmp_path)) as task:
        line = await first_line(hub, task)
        await line.answer()
        await line.assign("a", image=image, command="until [ -e /job-cache/go ]; do sleep 0.05; done; cat /note")
        await line.expect(PhaseReport, lambda m: m.phase is Phase.RUNNING)
        await asyncio.to_thread(
            subprocess.run, ["docker", "tag", "asman-test/busybox:latest", image], check=False, capture_output=True
        )
        next((tmp_path / "cache").iterdir()).joinpath("go").touch()
        await line.expect(Finished)
        assert "first" in line.texts("a")
