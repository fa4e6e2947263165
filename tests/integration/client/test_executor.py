"""Functions as jobs, run by a real worker."""

from __future__ import annotations

import concurrent.futures
import itertools
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

import asman
from asman.calls import RemoteTraceback
from asman.logs import Line
from devtools.asman_processes import clean_environment


@pytest.fixture
def lines() -> list[Line]:
    return []


@pytest.fixture
def executor(up: str, lines: list[Line]) -> Iterator[asman.Executor]:
    with asman.Executor(up, on_line=lines.append, cpus=0.5) as made:
        yield made
        made.shutdown(cancel_futures=True)


def test_a_result_an_exception_and_what_was_printed_come_back(executor: asman.Executor, lines: list[Line]) -> None:
    unit = "apples"

    def count(number: int, *, more: int = 0) -> str:
        print("counting")
        return f"{number + more} {unit}"

    def fail(number: int) -> None:
        raise KeyError(number)

    good, bad = executor.submit(count, 3, more=4), executor.submit(fail, 5)
    assert good.result(30) == "7 apples"
    with pytest.raises(KeyError) as caught:
        bad.result(30)
    assert caught.value.args == (5,)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in fail" in str(caught.value.__cause__)
    assert [line.text for line in lines if line.stream == "stdout"] == ["counting"]
    assert good.job is not None
    assert good.job.verdict is not None


def test_each_call_is_run_unless_results_are_to_be_kept(up: str, executor: asman.Executor) -> None:
    def anything() -> float:
        import random

        return random.random()

    assert len({executor.submit(anything).result(30) for _ in range(3)}) == 3
    with asman.Executor(up, cache=True, cpus=0.5) as keeping:
        assert len({keeping.submit(anything).result(30) for _ in range(3)}) == 1


def test_map_gives_results_in_order_and_reads_no_further_than_it_has_to(executor: asman.Executor) -> None:
    def double(number: int, other: int) -> int:
        return number * 2 + other

    results = executor.map(double, itertools.count(), itertools.repeat(1))
    assert list(itertools.islice(results, 500)) == [i * 2 + 1 for i in range(500)]
    results.close()  # type: ignore[attr-defined]


def test_ten_thousand_small_calls_are_right_and_only_some_are_in_memory_at_a_time(up: str) -> None:
    calls, chunk, window, page = 10_000, 250, 4, 4096

    def padded(number: int) -> bytes:
        return number.to_bytes(8, "big").ljust(page, b".")

    read = taken = most = 0

    def numbers() -> Iterator[int]:
        nonlocal read, most
        for number in range(calls):
            read = number + 1
            most = max(most, read - taken)
            yield number

    with asman.Executor(up, window=window, cpus=1) as executor:
        executor.submit(padded, 1).result(60)
        tracemalloc.start()
        try:
            for number, value in enumerate(executor.map(padded, numbers(), chunksize=chunk, timeout=100)):
                assert value == padded(number)
                taken += 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert taken == calls
    assert most <= (window + 1) * chunk
    # All results together are 40 MiB; those of the window are 4 MiB, as they come, joined, and unpacked.
    assert peak < 24 * 1024 * 1024


def test_map_gives_what_came_before_an_exception(executor: asman.Executor) -> None:
    def careful(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    found = []
    with pytest.raises(ValueError, match="seven"):
        for each in executor.map(careful, range(100), chunksize=5):
            found.append(each)
    assert found == list(range(7))


def _tenth(number: int, *, of: int = 10) -> float:
    if number % 4 == 3:
        raise ValueError(number)
    return number / of


@pytest.mark.parametrize("chunksize", [0, 5])
def test_exceptions_come_in_the_place_of_their_results_where_that_is_asked_for(
    executor: asman.Executor, chunksize: int
) -> None:
    found = list(executor.map(_tenth, range(12), chunksize=chunksize, kwargs={"of": 2}, return_exceptions=True))
    assert [each for each in found if not isinstance(each, Exception)] == [n / 2 for n in range(12) if n % 4 != 3]
    assert [each.args for each in found if isinstance(each, ValueError)] == [(3,), (7,), (11,)]
    assert isinstance(found[3], ValueError)
    assert isinstance(found[3].__cause__, RemoteTraceback)


def test_starmap_takes_the_arguments_of_each_call_from_one_item(executor: asman.Executor) -> None:
    assert list(executor.starmap(pow, [(2, 5), (3, 2), (10, 3)], chunksize=2)) == [32, 9, 1000]
    assert list(executor.starmap(int, [["11"], ["z1"]], kwargs={"base": 36})) == [37, 1261]


def test_the_error_of_a_job_stands_for_each_of_its_calls(executor: asman.Executor) -> None:
    def die(number: int) -> int:
        import os

        if number >= 2:
            os._exit(9)
        return number

    found = list(executor.map(die, range(4), chunksize=2, return_exceptions=True))
    assert found[:2] == [0, 1]
    assert [type(each) for each in found[2:]] == [asman.JobFailed] * 2


def test_some_calls_have_resources_and_files_of_their_own(up: str, executor: asman.Executor) -> None:
    def look() -> str:
        import os
        from pathlib import Path

        return Path(os.environ["JOB_INPUTS"], "note").read_text() + os.environ.get("WORD", "")

    own = executor.options(cpus=0.25, inputs={"note": "read me "}, env={"WORD": "now"})
    future = own.submit(look)
    assert future.result(60) == "read me now"
    assert future.job is not None
    assert future.job.definition.requirements is not None
    assert future.job.definition.requirements.cpus == 0.25
    assert list(own.map(abs, [-1, 2])) == list(own.starmap(abs, [(-1,), (2,)])) == [1, 2]
    usual = executor.submit(len, "abc")
    assert usual.result(60) == 3
    assert usual.job is not None
    assert "note" not in (usual.job.definition.inputs or {})
    wrong: dict[str, Any]
    for wrong, says in (
        ({"command": "x"}, "sets 'command' itself"),
        ({"cpu": 1}, "unknown argument 'cpu'; did you mean 'cpus'"),
        ({"inputs": {"calls.pickle": "x"}}, "can't be named 'calls.pickle'"),
    ):
        with pytest.raises(asman.AsmanError, match=says):
            executor.options(**wrong)


def test_a_view_is_shown_with_its_resources_and_without_what_may_be_secret(executor: asman.Executor) -> None:
    view = executor.options(cpus=1, memory="64MiB", env={"TOKEN": "very-secret"})
    assert repr(view).startswith("Executor(on 127.0.0.1:")
    assert repr(view).endswith(".options(cpus=1, memory='64MiB', env=…)")


def test_large_functions_and_values_travel_as_blobs(executor: asman.Executor) -> None:
    table = bytes(range(256)) * 4000

    def look(at: int, more: bytes) -> bytes:
        return table[:at] + more

    assert executor.submit(look, 1000_000, table).result(30) == table[:1000_000] + table


def test_a_call_is_cancelled_while_it_runs(executor: asman.Executor) -> None:
    begun = threading.Event()

    def forever() -> None:
        import time

        print("begun", flush=True)
        time.sleep(3600)

    executor._on_line = lambda line: begun.set()
    future = executor.submit(forever)
    assert begun.wait(30)
    assert future.running()
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)
    job = future.job
    assert job is not None
    assert job.wait(30).reason == "Cancelled"


def test_calls_from_many_threads(executor: asman.Executor) -> None:
    def square(number: int) -> int:
        return number * number

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda i: executor.submit(square, i), range(12)))
    done = concurrent.futures.wait(made, timeout=60).done
    assert sorted(each.result() for each in done) == [i * i for i in range(12)]


def test_a_job_that_dies_says_how(executor: asman.Executor) -> None:
    def die() -> None:
        import os

        print("last words", flush=True)
        os._exit(9)

    with pytest.raises(asman.JobFailed, match="exited with code 9") as caught:
        executor.submit(die).result(30)
    assert "last words" in caught.value.lines


def test_what_can_not_travel_is_an_error_of_its_call_alone(executor: asman.Executor) -> None:
    def lock() -> Any:
        import threading

        return threading.Lock()

    class Odd(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("never")

    def odd() -> None:
        raise Odd("strange")

    assert isinstance(executor.submit(lambda x: x, threading.Lock()).exception(30), TypeError)
    with pytest.raises(asman.CallFailed, match=r"class _thread\.lock, and only plain values"):
        executor.submit(lock).result(30)
    with pytest.raises(asman.CallFailed, match="strange"):
        executor.submit(odd).result(30)
    assert executor.submit(lambda: next(iter(()))).exception(30).__class__ is StopIteration


def test_results_of_any_class_come_back_from_workers_that_are_trusted(up: str) -> None:
    class Fruit:
        def __init__(self, name: str) -> None:
            self.name = name

    class Rotten(Exception):
        pass

    def pick(name: str) -> Fruit:
        if name == "medlar":
            raise Rotten(name)
        return Fruit(name)

    def lock() -> Any:
        import threading

        return threading.Lock()

    with asman.Executor(up, cpus=0.5, trust_workers=True) as trusting:
        assert trusting.submit(pick, "apple").result(30).name == "apple"
        assert type(trusting.submit(pick, "medlar").exception(30)).__name__ == "Rotten"
        assert isinstance(trusting.submit(lock).exception(30), TypeError)


def test_a_class_of_ones_own_is_named_with_the_remedy_unless_workers_are_trusted(executor: asman.Executor) -> None:
    class Fruit:
        pass

    with pytest.raises(asman.CallFailed, match=r"Fruit, .*trust_workers=True"):
        executor.submit(Fruit).result(30)
    with pytest.raises(asman.CallFailed, match=r"Fruit, .*trust_workers=True"):
        list(executor.map(lambda _: Fruit(), range(3)))


def test_after_the_end_no_more_calls_are_taken(up: str) -> None:
    executor = asman.Executor(up, cpus=0.5)
    future = executor.submit(int, "3")
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(int, "4")
    assert future.result(30) == 3
    executor.shutdown()
    assert not [each for each in threading.enumerate() if each.name.startswith("asman")]


def test_another_python_and_fields_that_are_not_to_be_given_are_told(up: str) -> None:
    with pytest.raises(asman.BadRequest, match="'command'"):
        asman.Executor(up, command="x")
    with pytest.raises(asman.ConnectionFailed):
        asman.Executor("http://127.0.0.1:1/q/nobody")
    with asman.Executor(up, python="no-such-python", cpus=0.5) as executor, pytest.raises(asman.JobFailed):
        executor.submit(int, "3").result(30)


@pytest.mark.parametrize("wait", [True, False])
def test_a_shutdown_that_cancels_calls_ends_while_one_runs_and_cancels_its_job(up: str, wait: bool) -> None:
    def slow() -> None:
        import time

        print("begun", flush=True)
        time.sleep(3600)

    begun = threading.Event()
    executor = asman.Executor(up, cpus=0.5, window=1, on_line=lambda line: begun.set(), env={"N": str(wait)})
    running, waiting = executor.submit(slow), executor.submit(slow)
    assert begun.wait(30)
    ending = threading.Thread(target=executor.shutdown, args=(wait,), kwargs={"cancel_futures": True}, daemon=True)
    ending.start()
    ending.join(30)
    executor._ending.join(30)
    assert not ending.is_alive()
    assert not executor._ending.is_alive()
    assert concurrent.futures.wait([running, waiting], 0).done == {running, waiting}
    assert running.cancelled()
    assert waiting.cancelled()
    assert running.job is not None
    with asman.sync.connect(up) as queue:
        assert queue.get(running.job.id).wait(30).reason == "Cancelled"


def test_the_end_of_an_executor_waits_for_the_jobs_of_cancelled_calls_to_be_cancelled(up: str) -> None:
    def slow() -> None:
        import time

        print("begun", flush=True)
        time.sleep(3600)

    begun = threading.Event()
    with asman.Executor(up, cpus=0.5, on_line=lambda line: begun.set()) as executor:
        future = executor.submit(slow)
        assert begun.wait(30)
        assert future.cancel()
        assert future.cancel()
    assert future.job is not None
    with asman.sync.connect(up) as queue:
        assert queue.get(future.job.id).wait(30).reason == "Cancelled"
    assert concurrent.futures.wait([future], 0).done == {future}


_LARGE = """
import sys, asman, asman.sync
def large(number):
    return b"x" * 2_000_000
if sys.argv[1] == "executor":
    executor = asman.Executor(cpus=0.5, on_line=None)
    assert [len(each) for each in executor.map(large, range(2))] == [2_000_000] * 2
else:
    queue = asman.sync.connect()
    job = queue.submit(command="sh -c 'head -c 2000000 /dev/zero > $JOB_OUTPUTS/zeros'")
    assert len(job.result(timeout=60).outputs["zeros"].read_bytes()) == 2_000_000
print("done")
"""


@pytest.mark.parametrize("kind", ["executor", "queue"])
def test_a_program_that_closes_nothing_ends_without_a_word_on_standard_error(up: str, kind: str) -> None:
    environment = clean_environment({"ASMAN_QUEUE": up})
    words = [sys.executable, "-c", _LARGE, kind]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
