"""The command that runs a worker: every option reaches the setting of its name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import asman_worker.main
from asman.cli import known
from asman.cli.commands.worker import set_up_logging
from asman_shared.address import queue_named
from asman_shared.messages import Registered
from asman_worker.config import WorkerConfig
from tests.unit.client.cli.running import Run

URL = "http://127.0.0.1:9/q/my-queue"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[WorkerConfig, Any]]:
    """The workers that would run."""
    found: list[tuple[WorkerConfig, Any]] = []

    async def run_worker(config: WorkerConfig, *, on_ready: Any) -> int:
        found.append((config, on_ready))
        return 0

    monkeypatch.setattr(asman_worker.main, "run_worker", run_worker)
    monkeypatch.delenv("ASMAN_WORKER_QUEUE", raising=False)
    return found


async def test_options_are_settings(begun: list[tuple[WorkerConfig, Any]], run: Run, tmp_path: Path) -> None:
    ended = await run(
        "worker", URL, "--name", "w", "--cpus", "2", "--tag", "a", "--tag", "b", "--executor", "process", "--network",
        "none", "--pids", "7", "--pull", "never", "--allow-image", "x*", "--deny-image", "y*", "--allow-host", "h",
        "--data-dir", str(tmp_path), "--max-jobs", "3", "--status", "9000", "--ignore-images",
        "--local-images", "me/*", "--local-images", "ours", "--secret", "A=build:", "--secret", "B=build:https://h/x/*",
        "--git-credentials-for", "build:https://h/y/*",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    ((config, ready),) = begun
    assert (config.name, tuple(config.tags), config.executor, config.network) == ("w", ("a", "b"), "process", "none")
    assert (config.pids, config.pull, config.max_jobs, config.status) == (7, "never", 3, "9000")
    assert [tuple(each) for each in (config.allow_image, config.deny_image, config.allow_host)] == [
        ("x*",),
        ("y*",),
        ("h",),
    ]
    assert config.local_images == ("me/*", "ours")
    assert config.secret == ("A=build:", "B=build:https://h/x/*")
    assert config.git_credentials_for == ("build:https://h/y/*",)
    assert (config.data_dir, config.ignore_images, ready) == (tmp_path, True, None)


async def test_once_is_one_job_and_no_other_number(begun: list[tuple[WorkerConfig, Any]], run: Run) -> None:
    assert (await run("worker", URL, "--once")).code == 0
    assert (await run("worker", URL, "--once", "--max-jobs", "1")).code == 0
    assert [config.max_jobs for config, _ in begun] == [1, 1]
    ended = await run("worker", URL, "--once", "--max-jobs", "2")
    assert ended.code != 0
    assert "--once means --max-jobs 1" in ended.err


async def test_a_queue_is_named_by_words_or_by_the_environment(
    begun: list[tuple[WorkerConfig, Any]], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = await run("worker")
    assert ended.code != 0
    assert "no queue was named" in ended.err
    monkeypatch.setenv("ASMAN_QUEUE", "http://127.0.0.1:9/q/common")
    assert (await run("worker")).code == 0
    monkeypatch.setenv("ASMAN_WORKER_QUEUE", "http://127.0.0.1:9/q/own")
    assert (await run("worker")).code == 0
    assert (await run("worker", URL)).code == 0
    assert [[target.queue for target in config.targets] for config, _ in begun] == [["common"], ["own"], ["my-queue"]]


async def test_a_worker_knows_the_names_that_its_user_has_for_queues(
    begun: list[tuple[WorkerConfig, Any]], run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(known.CONFIG_VARIABLE, str(tmp_path))
    known.remember("http://127.0.0.1:9/q/secret", "lab")
    assert (await run("worker", "@lab", URL)).code == 0
    monkeypatch.setenv("ASMAN_QUEUE", "@lab")
    assert (await run("worker")).code == 0
    assert [[target.queue for target in config.targets] for config, _ in begun] == [["secret", "my-queue"], ["secret"]]
    ended = await run("worker", "@lap")
    assert "you have no queue named 'lap'" in ended.err
    ended = await run("doctor", "@lap")
    assert "you have no queue named 'lap'" in ended.err


async def test_a_level_that_is_none_is_refused(begun: list[tuple[WorkerConfig, Any]], run: Run) -> None:
    ended = await run("worker", URL, "--log-level", "loud")
    assert ended.code != 0
    assert "--log-level must be" in ended.err
    assert begun == []


async def test_each_registration_is_a_line_of_json_where_that_is_asked_for(
    begun: list[tuple[WorkerConfig, Any]], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    await run("worker", URL, "--name", "w", "--json")
    begun[0][1](Registered(protocol=1, hub="h", worker="abc", time=7, keep=[], abort=[]))
    found = json.loads(capsys.readouterr().out)
    assert (found["worker"], found["name"], found["time"], found["kept"]) == ("abc", "w", 7, 0)


@pytest.mark.parametrize(
    "text", [URL, f"\ufeff{URL}\r\nhttp://127.0.0.1:9/q/other\r\n", f"{URL},http://127.0.0.1:9/q/other"]
)
@pytest.mark.parametrize("by", ["option", "variable"])
async def test_the_names_of_queues_can_stand_in_a_file(
    begun: list[tuple[WorkerConfig, Any]], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, by: str
) -> None:
    file = tmp_path / "queue"
    file.write_bytes(text.encode())
    if by == "variable":
        monkeypatch.setenv("ASMAN_QUEUE_FILE", str(file))
    ended = await run("worker", *(["--queue-file", str(file)] if by == "option" else []))
    assert ended.code == 0, ended.err
    assert [address.queue for address in begun[0][0].targets] == ["my-queue", "other"][: 1 + text.count("other")]


async def test_a_file_can_hold_the_bare_name_of_a_queue_of_the_hub_that_is_given(
    begun: list[tuple[WorkerConfig, Any]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_text("0123456789abcdef\n")
    ended = await run("worker", "--hub", "http://127.0.0.1:9", "--queue-file", str(tmp_path / "queue"))
    assert ended.code == 0, ended.err
    (target,) = begun[0][0].targets
    assert (target.hub, target.queue) == ("http://127.0.0.1:9", "0123456789abcdef")


async def test_an_older_name_in_a_file_keeps_its_blanks_that_are_not_ascii(
    begun: list[tuple[WorkerConfig, Any]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_text(f"{URL}\n\u00a0lab\u3000a\n", encoding="utf-8")
    ended = await run("worker", "--hub", "http://127.0.0.1:9", "--queue-file", str(tmp_path / "queue"))
    assert ended.code == 0, ended.err
    assert [target.queue for target in begun[0][0].targets] == ["my-queue", queue_named("\u00a0lab\u3000a")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"", "names no queue"),
        (b" \r\n", "names no queue"),
        (b"secret-queue\xff", "not text"),
        (b"secret-queue " * 10_000, "too large"),
    ],
)
async def test_a_file_of_queues_that_can_not_be_used_is_a_sentence_that_shows_none(
    begun: list[tuple[WorkerConfig, Any]], run: Run, tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "queue"
    if content is not None:
        file.write_bytes(content)
    ended = await run("worker", "--queue-file", str(file))
    assert ended.code == 125
    assert why in ended.err
    assert str(file) in ended.err
    assert "secret-queue" not in ended.err
    assert begun == []
    assert (await run("worker", URL, "--queue-file", str(file))).code == 2


def test_the_log_of_a_worker_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    set_up_logging("info")
    (handler,) = root.handlers
    record = logging.LogRecord("asman.worker", logging.INFO, "", 0, "pulling %s", ("a\x1b[2J\r\nforged",), None)
    assert handler.format(record).isprintable()
    assert handler.format(record).endswith(r"INFO    pulling a\x1b[2J\r\nforged")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--executor", "proces"), "did you mean 'process'?"),
        (("--pull", "alway"), "did you mean 'always'?"),
        (("--memory", "2 much"), "memory"),
        (("--log-level", "loud"), "--log-level must be"),
        (("--once", "--max-jobs", "3"), "--once means --max-jobs 1"),
    ],
)
async def test_a_wrong_value_of_an_option_is_an_error_of_the_command_line(
    begun: list[tuple[WorkerConfig, Any]], run: Run, words: tuple[str, ...], says: str
) -> None:
    ended = await run("worker", URL, *words)
    assert (ended.code, begun) == (2, [])
    assert says in ended.err


async def test_a_wrong_value_of_the_environment_is_no_error_of_the_command_line(
    begun: list[tuple[WorkerConfig, Any]], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_WORKER_EXECUTOR", "proces")
    ended = await run("worker", URL)
    assert (ended.code, begun) == (125, [])
    assert "did you mean 'process'?" in ended.err


async def test_doctor_takes_a_wrong_executor_for_an_error_of_the_command_line(run: Run) -> None:
    ended = await run("doctor", "--executor", "proces")
    assert ended.code == 2
    assert "did you mean 'process'?" in ended.err
