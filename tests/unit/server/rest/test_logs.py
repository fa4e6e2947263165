"""Logs over HTTP: what a query selects, the query for the rest, and a log as text."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from asman_server.rest.logs import MOST, TextForm, query_of, selection_of
from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_shared.messages import CRLF, LF, NO_END, Gap, LogLine, LogPage, LogSelection
from asman_shared.states import Phase


def select(query: str) -> LogSelection | None:
    return selection_of(Request({"type": "http", "query_string": query.encode(), "headers": []}))


def page(rest: LogSelection | None = None, *texts: str, **more: Any) -> LogPage:
    lines = [LogLine(seq, 0, 0, text) for seq, text in enumerate(texts)]
    return LogPage(ref=0, lines=lines, next=more.pop("next", len(lines)), final=False, rest=rest, **more)


def test_without_a_wish_it_is_the_whole_log() -> None:
    assert select("") is None
    assert select("since=5&limit=10") is None


def test_everything_that_can_be_selected_is_read() -> None:
    found = select("stream=STDERR&phase=running,building&grep=a%20b&ignore_case=1&tail=5&max_bytes=100&context=3")
    assert found == LogSelection(
        streams=["stderr"],
        phases=[Phase.RUNNING, Phase.BUILDING],
        grep="a b",
        ignore_case=True,
        tail=5,
        max_bytes=100,
        context=3,
    )
    assert select("around=first_error") == LogSelection(around="first_error")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("stream=other", "stream"),
        ("phase=later", "phase"),
        ("grep=" + "x" * (limits.LOG_PATTERN_LENGTH + 1), "grep"),
        ("ignore_case=2", "ignore_case"),
        ("around=here", "around"),
        ("tail=-1", "tail"),
        (f"context={MOST['context'] + 1}", "context"),
        ("head=many", "head"),
    ],
)
def test_what_can_not_be_selected_is_refused_with_its_name(query: str, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        select(query)
    assert caught.value.field == field


def test_limits_themselves_are_taken() -> None:
    found = select(f"grep={'x' * limits.LOG_PATTERN_LENGTH}&context={MOST['context']}")
    assert found is not None
    assert found.context == MOST["context"]


@pytest.mark.parametrize(
    "rest",
    [
        LogSelection(tail=5),
        LogSelection(head=0, tail=7),
        LogSelection(grep="a&b=c é", ignore_case=True, context=2, owed=1),
        LogSelection(streams=["stdout", "stderr"], phases=[Phase.RUNNING], max_bytes=0),
        LogSelection(around="first_error", until=9, before=3, standing=4),
    ],
)
def test_the_query_for_the_rest_selects_the_rest(rest: LogSelection) -> None:
    query = query_of(page(rest, next=17), 50)
    assert "since=17" in query.split("&")
    assert "limit=50" in query.split("&")
    assert select(query) == rest


def test_a_whole_page_has_no_query_for_the_rest() -> None:
    assert query_of(page(), 50) == ""


def test_a_log_is_its_lines_and_a_carriage_return_stays_one() -> None:
    assert TextForm().page(page(None, "one", "50%\r", "")) == "one\n50%\r\n"


def test_missing_lines_are_said_where_they_were() -> None:
    made = page(gaps=[Gap(0, 2), Gap(3, 4), Gap(6, 9)])
    made.lines = [LogLine(seq, 0, 0, f"line {seq}") for seq in (2, 4, 5)]
    assert TextForm().page(made).splitlines() == [
        "[2 lines are no longer kept]",
        "line 2",
        "[1 line is no longer kept]",
        "line 4",
        "line 5",
        "[3 lines are no longer kept]",
    ]


def ended(*lines: tuple[int, str, int]) -> LogPage:
    made = page()
    made.lines = [LogLine(seq, 0, stream, text, end=end) for seq, (stream, text, end) in enumerate(lines)]
    return made


def test_a_line_that_was_cut_is_whole_again_over_pages() -> None:
    form = TextForm()
    first = form.page(ended((0, "long", NO_END), (0, "er", NO_END)))
    assert first + form.page(ended((0, "", CRLF), (0, "last", NO_END))) == "longer\r\nlast"


def test_another_stream_and_a_note_never_stand_behind_a_line_that_goes_on() -> None:
    form = TextForm()
    made = form.page(ended((0, "out", NO_END), (1, "err", LF), (0, "more", NO_END)))
    assert made + form.page(page(gaps=[Gap(3, 4)])) == "out\nerr\nmore\n[1 line is no longer kept]\n"


def test_lines_that_were_picked_out_are_lines_of_their_own() -> None:
    assert TextForm(exact=False).page(ended((0, "a", NO_END), (0, "b", NO_END))) == "a\nb\n"
