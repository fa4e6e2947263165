"""Words that name a queue and a job."""

from __future__ import annotations

import pytest
import typer

from asman.cli.named_job import split_input, with_job
from asman.job import Job
from asman_shared.errors import AsmanError, BadRequest
from tests.unit.client.cli.running import Run
from tests.unit.client.fake_hub import FakeHub


@pytest.mark.parametrize(
    ("words", "found"),
    [([], (None, False)), (["q"], ("q", False)), (["-"], (None, True)), (["q", "-"], ("q", True))],
)
def test_a_definition_comes_from_standard_input_where_a_dash_says_so(
    words: list[str], found: tuple[str | None, bool]
) -> None:
    assert split_input(words) == found


@pytest.mark.parametrize(("words", "word"), [(["q", "x"], "x"), (["q", "x", "-"], "x"), (["-", "q"], "q")])
def test_a_word_too_many_is_named(words: list[str], word: str) -> None:
    with pytest.raises(BadRequest, match=f"unexpected argument '{word}'"):
        split_input(words)


async def working(_job: Job) -> int:
    raise AssertionError("no job was named")


def test_more_than_a_queue_and_a_job_are_refused_before_anything_is_dialled() -> None:
    with pytest.raises(BadRequest, match="unexpected argument 'c'"):
        with_job(["a", "b", "c"], None, working)


def test_a_job_without_any_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASMAN_QUEUE", raising=False)
    with pytest.raises((AsmanError, typer.Exit)):
        with_job(["a" * 64], None, working)


async def test_a_job_is_found_by_its_id_a_prefix_of_it_or_its_url(hub: FakeHub, run: Run) -> None:
    job = (await run("job", "add", hub.url, "-c", "x")).out.strip()
    for words in (
        (hub.url, job),
        (hub.url, job[:12]),
        (hub.url, f"{hub.address}/j/{job}"),
        (hub.url, f"{hub.address}/j/{job}~{'0f' * 16}"),
    ):
        shown = await run("job", "show", *words)
        assert (shown.code, job in shown.out) == (0, True), shown
