"""Dockerfiles as a real engine builds them: nothing is used or fetched that the worker did not check."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asman_shared.definition import Build
from asman_shared.messages import STDOUT, Finished, Outcome
from asman_shared.states import Phase
from devtools.fake_hub import FakeHub, Line, job
from devtools.registry import running_registry
from tests.integration.worker.builds.test_builder import tar
from tests.integration.worker.conftest import config_for, first_line, worker

BASE = "asman-test/busybox"
DENIED = "asman-test/denied:1"


class Service:
    """Something that listens on this host's loopback.

    Attributes:
        asked: The paths that were asked for.
        base: Its address.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path.startswith("/moved/"):
            raise web.HTTPFound("/there/" + request.path.rpartition("/")[2])
        return web.Response(body=tar({"packed": "x"}) if request.path.endswith(".tgz") else b"from the service\n")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def builds_of(hub: FakeHub, data: Path, **more: Any) -> AsyncIterator[Line]:
    async with worker(config_for(hub, data, **more)) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield line


async def outcome_of(line: Line, name: str, text: str, command: str = "true", **build: Any) -> Outcome:
    once = f"\nLABEL once={secrets.token_hex(8)}\n"
    await line.assign(name, build=Build(dockerfile=text + once, **build), command=command)
    return (await line.expect(Finished, lambda message: message.job == job(name))).outcome


def said(line: Line, name: str) -> list[str]:
    return [each.text for each in line.lines(name) if each.stream == STDOUT and each.phase is Phase.RUNNING]


def by_hand(name: str, text: str) -> None:
    """Builds an image as the machine's owner does."""
    command = ["docker", "build", "-q", "-t", name, "-"]
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(command, input=text, text=True, check=True, capture_output=True, env=env)


# --------------------------------------------------------------------------------------------------- what is fetched


ADDS = [
    "ADD {base}/x /",
    "add\t\\\n # why\n {base}/x /",
    "ARG U={base}/x\nADD $U /",
    "ENV U={base}\nADD ${{U}}/x /",
    'ADD ["{base}/x", "/"]',
    "ADD 'http'{rest}/x /",
    "ARG GIVEN\nADD $GIVEN /",
    "ONBUILD ADD {base}/x /\n",
    "ARG GIVEN\nONBUILD ADD $GIVEN/x /y\nFROM first\nARG GIVEN",
    "ENV U=$OTHER\nADD ${{U:-{base}/x}} /",
    "# x\nADD {base}/x.git /",
    "ADD {base}/moved/x /",
]


async def test_a_dockerfile_fetches_nothing_from_the_workers_own_network(
    hub: FakeHub, tmp_path: Path, busybox_image: str, service: Service
) -> None:
    async with builds_of(hub, tmp_path) as line:
        for number, add in enumerate(ADDS):
            text = add.format(base=service.base, rest=service.base.removeprefix("http"))
            args = [f"GIVEN={service.base}/x"]
            outcome = await outcome_of(line, f"{number}", f"FROM {BASE} AS first\n{text}", build_args=args)
            assert outcome.kind == "error", text
            assert "\n" not in outcome.message
        # A variable that only the base knows.
        await asyncio.to_thread(by_hand, "asman-test/variable", f"FROM {BASE}\nENV U={service.base}/x\n")
        outcome = await outcome_of(line, "variable", "FROM asman-test/variable\nADD $U /")
        assert outcome.kind == "error"
        for number, trigger in enumerate(("ADD {base}/x /", "ADD $U /", "COPY --from=asman-test/denied / /")):
            image = f"asman-test/trigger-{number}"
            text = f"FROM asman-test/variable\nONBUILD {trigger.format(base=service.base)}\n"
            await asyncio.to_thread(by_hand, image, text)
            outcome = await outcome_of(line, f"trigger-{number}", f"FROM {image}")
            assert "can't be a base here, because of its trigger" in outcome.message
    assert service.asked == []


async def test_what_a_dockerfile_adds_from_an_allowed_host_is_fetched_by_the_worker(
    hub: FakeHub, tmp_path: Path, busybox_image: str, service: Service
) -> None:
    async with builds_of(hub, tmp_path, allow_host="127.0.0.1") as line:
        text = (
            f"FROM {BASE}\nARG NAME\nADD --chown=7:8 {service.base}/moved/note /sub/\n"
            f"ADD {service.base}/$NAME {service.base}/b /two/\nADD {service.base}/x.tgz /kept\n"
        )
        script = "cat /sub/note /two/a /two/b; stat -c '%a %u %g' /sub/note; ls -d /kept /packed 2>&1"
        outcome = await outcome_of(line, "a", text, script, build_args=["NAME=a"])
        assert outcome.exit_code is not None, outcome.message
        told = said(line, "a")
        assert told[:4] == ["from the service"] * 3 + ["600 7 8"]
        assert "/kept" in told, "an archive that was fetched is not unpacked"
        assert "/packed" not in told
    assert service.asked == ["/moved/note", "/there/note", "/a", "/b", "/x.tgz"]


# ------------------------------------------------------------------------------------------------------ what is used


WAYS = [
    "FROM {denied}",
    "from\t{denied}",
    "\ufeffFROM {denied}",
    "FROM {denied}\r\n",
    "FROM \\\r\n{denied}\r\n",
    "FROM \\\n# a comment\n\n   # another\n{denied}",
    "FRO\\\nM asman-test/den\\\nied:1",
    "# escape=`\nFROM `\n{denied}",
    "# a comment\n# escape=`\nFROM \\\n{denied}",
    'ARG A="{denied}"\nFROM "$A"',
    "ARG A=asman-test B=denied\nFROM ${{A}}/${{B:-busybox}}:1",
    "FROM $GIVEN",
    "FROM scratch AS denied\nFROM {denied}",
    "FROM {base}\nCOPY --from={denied} /bin /x",
    "FROM {base}\ncopy\t--from={denied}\t/bin\t/x",
    "FROM {base} AS a\nCOPY --from=a --from={denied} /bin /x",
    "FROM {base}\nCOPY --chown=0:0 \\\n --from={denied} /bin /x",
    "FROM {base}\nONBUILD COPY --from={denied} /bin /x",
    "FROM {base} AS a\nONBUILD \\\n COPY --from={denied} /bin /x\nFROM a",
    "FROM {base}\nRUN --mount=type=bind,from={denied},target=/x true",
    "FROM {base}\nRUN true \\\\\nFROM {denied}",
    "FROM {base}\nRUN <<X\nX\nFROM {denied}",
    "FROM {base}\nRUN true \\\n\nFROM {denied}\nFROM {denied}",
]


@pytest.mark.parametrize("rules", [{"deny_image": "asman-test/denied"}, {"allow_image": f"build:,{BASE}"}])
async def test_no_way_of_writing_it_passes_by_the_operators_rules(
    hub: FakeHub, tmp_path: Path, busybox_image: str, rules: dict[str, str]
) -> None:
    await asyncio.to_thread(subprocess.run, ["docker", "tag", busybox_image, DENIED], check=True)
    async with builds_of(hub, tmp_path, pull="never", **rules) as line:
        for number, way in enumerate(WAYS):
            text = way.format(denied=DENIED, base=BASE)
            args = [f"GIVEN={DENIED}", f"A={DENIED}"] if "GIVEN" in way else []
            text = text if "GIVEN" not in way else f"ARG GIVEN\n{text}"
            outcome = await outcome_of(line, f"{number}", text, build_args=args)
            assert outcome.kind == "error", text
            assert "\n" not in outcome.message
        assert (await outcome_of(line, "fine", f"FROM {BASE}")).exit_code == 0


# An engine reads flags byte by byte, and takes this one, which is a part of letters such as à, for white space.
OTHER_SPACE = b"\xa0"
OWNERS = ("asman-owners", "99999999999999999999")
OTHERS = [
    b"FROM scratch AS asman-owners\nCOPY --from=asman-owners /etc/passwd /x\n",
    b"FROM scratch\nCOPY --from=99999999999999999999 /etc/passwd /x\n",
    b"FROM scratch\nCOPY " + OTHER_SPACE + b"--from=asman-owners /etc/passwd /x\n",
    b"FROM scratch\nCOPY --chown=0 " + OTHER_SPACE + b"--from=asman-owners /etc/passwd /x\n",
    b"FROM scratch\nCOPY --chown=0" + OTHER_SPACE + b"--from=asman-owners /etc/passwd /x\n",
]


async def test_nothing_that_an_engine_takes_for_an_image_is_a_stage_or_a_path_here(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    """The owner's images stay out of reach for `COPY --from`, however its value is written."""
    try:
        for name in OWNERS:
            await asyncio.to_thread(subprocess.run, ["docker", "tag", busybox_image, name], check=True)
        async with builds_of(hub, tmp_path, pull="never", local_images="asman-test/none") as line:
            for number, text in enumerate(OTHERS):
                key = hub.store(tar({"Dockerfile": text.decode("utf-8", "surrogateescape")}))
                await line.assign(f"{number}", build=Build(context=f"key:{key}"), command="true")
                outcome = (await line.expect(Finished, lambda m, n=f"{number}": m.job == job(n))).outcome  # type: ignore[misc]
                assert outcome.kind == "error", text
                assert "not on this worker" in outcome.message or "can't be used" in outcome.message, outcome.message
    finally:
        await asyncio.to_thread(subprocess.run, ["docker", "rmi", *OWNERS], check=True, capture_output=True)


async def test_a_dockerfile_as_windows_writes_it_means_what_it_means_to_docker(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    lines = [
        "\ufeff# a comment", "", f"arg BASE={BASE}", "from $BASE as first", "run echo one > /note && \\", "  # why", "",
        "\techo two >> /note", "COPY note \\", "  /copied", "FROM first", 'CMD ["cat", \\', ' "/note", "/copied"]', "",
    ]  # fmt: skip
    files = {"Dockerfile": "\r\n".join(lines), "note": "three\n", "left": "x", ".dockerignore": "\ufeffleft\r\n"}
    key = hub.store(tar(files))
    async with builds_of(hub, tmp_path) as line:
        await line.assign("a", build=Build(context=f"key:{key}"))
        outcome = (await line.expect(Finished)).outcome
        assert outcome.exit_code == 0, outcome.message
        assert said(line, "a") == ["one", "two", "three"]


async def test_a_build_can_copy_its_files_and_nothing_of_the_workers(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with builds_of(hub, tmp_path) as line:
        for name, more in (("plain", {}), ("ignoring", {".dockerignore": "left\n"})):
            text = f"FROM {BASE}\nCOPY . /all\nLABEL once={secrets.token_hex(8)}\n"
            key = hub.store(tar({"Dockerfile": text, "note": "x", "left": "y", **more}))
            await line.assign(name, build=Build(context=f"key:{key}"), command="ls -A /all")
            outcome = (await line.expect(Finished, lambda m, n=name: m.job == job(n))).outcome  # type: ignore[misc]
            assert outcome.exit_code == 0, outcome.message
        assert said(line, "plain") == ["Dockerfile", "left", "note"]
        assert said(line, "ignoring") == [".dockerignore", "Dockerfile", "note"]


async def test_a_base_is_the_image_that_was_checked_though_the_owner_uses_its_name_for_another(
    hub: FakeHub, tmp_path: Path, busybox_image: str
) -> None:
    async with running_registry() as registry:
        base = registry.add(f"base-{secrets.token_hex(4)}:v1", {"note": b"the registry's\n"})
        await asyncio.to_thread(by_hand, base, f"FROM {BASE}\nRUN echo the owner > /note\n")
        async with builds_of(hub, tmp_path, local_images="", allow_host="127.0.0.1") as line:
            outcome = await outcome_of(line, "a", f"FROM {base}", "cat /note")
            assert outcome.exit_code == 0, outcome.message
            assert said(line, "a") == ["the registry's"]
            text = f"FROM {base} AS x\nFROM scratch\nCOPY --from={base} / /"
            outcome = await outcome_of(line, "b", text, "cat /note")
            assert outcome.exit_code == 0, outcome.message
            assert said(line, "b") == ["the registry's"]
