"""The page about a job that ``asman job show`` prints."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

from asman.cli.job_facts import SHOWN, facts_of, lines_of, local_time
from asman.outputs import Outputs
from asman_shared import messages as m
from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.states import Phase, Reason, State

ID = "b" * 64
AT = 1_700_000_000_000


def job(definition: Definition | None = None, verdict: m.Verdict | None = None, **state: Any) -> Any:
    default: dict[str, Any] = {"state": State.FINISHED if verdict else State.QUEUED}
    found = m.JobState(id=ID, rev=1, **{**default, **state})
    return SimpleNamespace(
        id=ID, url="https://hub.example/j/b", state=found, verdict=verdict, definition=definition or Definition()
    )


def result(*names: str, **more: Any) -> Any:
    files = {name: m.OutputFile(DataRef("a" * 64, "key"), 2048, "a" * 64) for name in names}
    values: dict[str, Any] = {"skipped": {}, "phases": {}, "image_digest": "", "worker": "", **more}
    return SimpleNamespace(outputs=Outputs(m.Result(outputs=files), None), **values)  # type: ignore[arg-type]


def shown(given: Any, ended: Any = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in facts_of(given, ended):
        found.setdefault(name, []).append(text)
    return found


def test_a_job_that_waits_has_its_address_and_the_time_it_was_submitted_and_no_more() -> None:
    assert shown(job(queued=AT)) == {
        "job": [ID],
        "url": ["https://hub.example/j/b"],
        "state": ["Queued"],
        "submitted": [local_time(AT)],
    }


def test_a_running_job_tells_its_phase_worker_and_attempts() -> None:
    running = job(state=State.RUNNING, phase=Phase.BUILDING, worker="w1", attempt=2, priority=5, namespaces=["_", "n"])
    found = shown(running)
    assert found["state"] == ["Running, building"]
    assert (found["worker"], found["attempts"], found["priority"], found["slots"]) == (
        ["w1"],
        ["2 in all runs of the job"],
        ["5"],
        ["n"],
    )


def test_an_end_has_its_reason_code_times_worker_and_outputs() -> None:
    verdict = m.Verdict(ok=False, reason=Reason.FAILED, exit_code=3, message="it broke", hint="mend it", duration=2400)
    ended = job(verdict=verdict, queued=AT, started=AT + 1000, finished=AT + 3400, worker="w1")
    found = shown(
        ended,
        result(
            "a.txt", worker="lab", skipped={"pipe": "no file"}, phases={Phase.RUNNING: 2000}, image_digest="sha256:d"
        ),
    )
    assert (found["state"], found["exit code"], found["took"]) == (["Failed"], ["3"], ["2.4 s"])
    assert (found["message"], found["hint"], found["phases"]) == (["it broke"], ["mend it"], ["running 2 s"])
    assert [found[name] for name in ("submitted", "started", "finished")] == [
        [local_time(AT)],
        [local_time(AT + 1000)],
        [local_time(AT + 3400)],
    ]
    assert found["worker"] == ["lab (w1)"]
    assert (found["output"], found["not kept"]) == (["a.txt  2 KiB"], ["pipe: no file"])
    assert found["ran image"] == ["sha256:d"]


def test_a_command_can_be_pasted_into_a_shell() -> None:
    words = ["sh", "-c", "echo 'a b'; exit 3"]
    (text,) = shown(job(Definition(command=words, entrypoint=["tini", "--"])))["command"]
    assert shlex.split(text) == words
    assert shown(job(Definition(command="echo $HOME")))["command"] == ["echo $HOME"]


def test_the_definition_is_shown_as_far_as_it_is_given() -> None:
    definition = Definition(
        image="alpine:3",
        workdir="/w",
        env={"ALPHA": "0.3"},
        inputs={"n": DataRef("c" * 64, "key"), "u": DataRef("https://x.example/a", "url"), "t": DataRef("hello")},
        config_files={"/etc/a": DataRef({"a": 1}, "json")},
        requirements=Requirements(cpus=0.5, memory="2GiB", gpus=1, max_duration="5m"),
        shm_size="64m",
        tags=["lab"],
        outputs=["*.csv"],
    )
    found = shown(job(definition))
    assert found["image"] == ["alpine:3"]
    assert found["env"] == ["ALPHA=0.3"]
    assert found["input"] == ["n  blob cccccccccccc", "u  https://x.example/a", "t  utf8: hello"]
    assert found["config file"] == ["/etc/a  json: {'a': 1}"]
    assert found["asks for"] == ["0.5 cpus, 2GiB of memory, 1 gpus, at most 5m, 64m of shared memory"]
    assert (found["workdir"], found["tags"], found["keeps"]) == (["/w"], ["lab"], ["*.csv"])
    built = Definition(build=Build(context="https://git.example/r", target="t", dockerfile="FROM a\nRUN b\n"))
    assert shown(job(built))["build"] == ["https://git.example/r, stage t, a Dockerfile of 2 lines"]


def test_long_texts_and_long_lists_are_shortened_and_say_so() -> None:
    env = {f"V{number}": "x" * 1000 for number in range(SHOWN + 2)}
    found = shown(job(Definition(env=env)))
    assert len(found["env"]) == SHOWN
    assert all(len(text) < 100 for text in found["env"])
    assert found[""] == ["… and 2 more; --json shows all"]


def test_a_text_of_several_lines_never_looks_like_another_fact() -> None:
    lines = list(lines_of(iter([("env", "A=1\n     state  Success"), ("image", "")])))
    assert lines == ["         env  A=1", "                   state  Success", "       image"]


def test_a_cancelled_job_took_the_time_that_it_ran_and_one_that_never_started_none() -> None:
    verdict = m.Verdict(ok=False, reason=Reason.CANCELLED, exit_code=None)
    ran = job(verdict=verdict, queued=AT, started=AT + 1000, finished=AT + 6000)
    assert shown(ran)["took"] == ["5 s"]
    assert "took" not in shown(job(verdict=verdict, queued=AT, finished=AT + 6000))
    at_once = m.Verdict(ok=True, reason=Reason.SUCCESS, exit_code=0)
    assert shown(job(verdict=at_once, queued=AT, started=AT, finished=AT + 9))["took"] == ["0 ms"]
