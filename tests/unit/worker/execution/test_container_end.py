"""What the end of a container means for its job."""

from __future__ import annotations

from asman_worker.execution.container_end import End

MIB = 1024**2


def test_a_lack_of_memory_is_told_without_the_remedy_that_the_hub_adds() -> None:
    ended = End(exit_code=137, out_of_memory=True).result(64 * MIB, "")
    assert (ended.kind, ended.message) == ("out_of_memory", "it needed more memory than the 64 MiB that it may have")


def test_a_killed_process_of_a_job_that_went_on_is_told_with_the_remedy() -> None:
    ended = End(exit_code=3, out_of_memory=True).result(64 * MIB, "")
    assert (ended.kind, ended.message) == (
        "exited",
        "a process of the job was killed, because it needed more memory than the 64 MiB that it may have; "
        "ask for more in requirements.memory",
    )
