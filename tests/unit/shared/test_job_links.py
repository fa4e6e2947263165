"""The key in the address of a job: made by everybody with the queue, and by nobody else."""

from __future__ import annotations

from asman_shared.address import Address
from asman_shared.job_links import job_address, job_key

JOB = "0123456789abcdef" * 4


def test_a_key_is_the_same_in_all_languages() -> None:
    assert job_key("links-of-a-queue", JOB) == "51abd4cf091245a9901306cdd4880d20"


def test_a_key_is_of_one_job_of_one_queue() -> None:
    keys = {job_key(links, job) for links in ("a", "b") for job in (JOB, "f" * 64)}
    assert len(keys) == 4
    assert job_address(JOB, "a") == f"{JOB}~{job_key('a', JOB)}"


def test_a_hub_that_tells_no_secret_has_addresses_without_keys() -> None:
    assert job_address(JOB, "") == JOB
    assert Address("https://h", "q").job_url(JOB) == f"https://h/j/{JOB}"
    assert Address("https://h", "q").job_url(JOB, "a") == f"https://h/j/{JOB}~{job_key('a', JOB)}"
