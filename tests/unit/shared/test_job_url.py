"""Jobs in URLs, of every generation."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared.definition import Build, DataRef, Definition
from asman_shared.errors import AsmanError, BadDefinition, BadRequest, TooLarge
from asman_shared.identity import job_id
from asman_shared.job_url import URL_BYTES, decode_value, encode_value, is_job_url, read_job_url, write_job_url

JOB = {"command": 'echo "hello world" 100%41 ü', "image": "alpine:3.19.1"}
TEXT = json.dumps(JOB, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
NEW = base64.b64encode(quote(TEXT, safe="!'()*-._~").encode()).decode()
TWICE = quote(NEW, safe="")
OLD = base64.b64encode(TEXT.encode()).decode()


@pytest.mark.parametrize("value", [NEW, TWICE, OLD, NEW.rstrip("="), OLD.replace("+", " ")], ids=range(5))
def test_every_generation_is_read(value: str) -> None:
    assert decode_value(value, "job") == JOB
    read = read_job_url(f"https://hub.example/#?job={value}&queue=lab")
    assert (read.hub, read.queue) == ("https://hub.example", "lab")
    assert read.definition == Definition(command=JOB["command"], image=JOB["image"])


def test_the_newest_generation_is_written_with_its_keys_in_order() -> None:
    url = write_job_url(
        "https://hub.example",
        Definition(image=JOB["image"], command=JOB["command"]),
        queue="https://o.example/q/a b",
        max_duration="20m",
    )
    assert url == f"https://hub.example/#?job={NEW}&maxJobDuration=20m&queue=https%3A%2F%2Fo.example%2Fq%2Fa%20b"
    assert is_job_url(url)
    read = read_job_url(url)
    assert (read.queue, read.max_duration) == ("https://o.example/q/a b", "20m")


def test_the_page_s_example_has_the_id_that_it_has_elsewhere() -> None:
    job = encode_value({"command": 'echo "hello world"', "image": "alpine:3.19.1"})
    found = read_job_url(f"https://hub.example/#?job={job}")
    assert job_id(found.definition) == "9a684c59f4270fa102f102d2aafe92d5e78ad285116f02d845e5dabbfb0ba873"


@given(
    st.builds(
        Definition,
        image=st.sampled_from(["alpine", "a/b:c", "ü"]),
        command=st.one_of(st.text(), st.lists(st.text())).filter(lambda text: "${" not in str(text)),
        env=st.dictionaries(st.from_regex(r"[A-Z]{1,9}", fullmatch=True), st.text(), min_size=1),
        inputs=st.dictionaries(st.text(min_size=1), st.builds(DataRef, st.text(), st.just("utf8")), min_size=1),
    )
)
def test_any_job_comes_back_as_it_was(definition: Definition) -> None:
    assert read_job_url(write_job_url("http://h", definition)).definition == definition


def test_other_parameters_are_the_job_s_environment_and_fill_in_its_command() -> None:
    job = encode_value(
        {"command": "run ${what} ${other}", "build": {"context": "https://g/${what}"}, "env": {"A": "1", "mp_x": "y"}}
    )
    found = read_job_url(f"http://h/#?job={job}&what=a%20b&channel=x&mp-y=1&debug=true&terminal=true").definition
    assert found == Definition(
        command="run a b ${other}", build=Build(context="https://g/a b"), env={"A": "1", "what": "a b"}
    )


def test_texts_become_files_and_unknown_fields_and_nulls_are_passed_over() -> None:
    job = encode_value({"image": "i", "name": "mine", "command": None, "inputs": {"a": {"value": "x", "more": 1}}})
    inputs = encode_value({"b.txt": "text", "/etc/c": "more"})
    found = read_job_url(f"http://h/path/#?inputs={inputs}&job={job}")
    assert found.hub == "http://h/path"
    assert found.definition == Definition(
        image="i",
        inputs={"a": DataRef("x")},
        config_files={"b.txt": DataRef("text", "utf8"), "/etc/c": DataRef("more", "utf8")},
    )


@pytest.mark.parametrize(
    ("more", "queue"),
    [
        ("&queue=a&queueOverride=b", "b"),
        ("&queue=a&queueOverride=b&ignoreQueueOverride=true", "a"),
        ("&queue=https%3A%2F%2Fo%2Fa", "https://o/a"),
        ("", ""),
    ],
)
def test_which_queue(more: str, queue: str) -> None:
    assert read_job_url(f"http://h/#?job={NEW}{more}").queue == queue


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("ftp://h/#?job=x", BadRequest, "not the URL of a job"),
        ("http://h/#?queue=x", BadRequest, "holds no job"),
        ("http://h/#?job=%21%21", BadDefinition, "base64"),
        ("http://h/#?job=aGVsbG8=", BadDefinition, "not JSON"),
        (f"http://h/#?job={encode_value([1])}", BadDefinition, "not a JSON object"),
        (f"http://h/#?job={encode_value({'image': 3})}", BadDefinition, "image"),
        ("http://h/#?job=" + "A" * URL_BYTES, TooLarge, "2 MiB"),
    ],
)
def test_what_can_not_be_read_is_told(url: str, error: type[AsmanError], says: str) -> None:
    with pytest.raises(error, match=says):
        read_job_url(url)


@given(st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    value: Any = None
    try:
        value = read_job_url(f"http://h/#?{text}")
    except AsmanError:
        assert value is None


def test_many_openings_of_variables_take_no_time() -> None:
    job = {"image": "alpine", "command": "${" * 200_000 + "${x}"}
    made = read_job_url(f"https://hub.example/#?job={encode_value(job)}&x=y").definition
    assert isinstance(made.command, str)
    assert made.command.endswith("${y")


def test_a_job_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(BadDefinition, match="can't be read"):
        decode_value(base64.b64encode(b"[" * 100_000).decode(), "job")


def test_a_host_that_cannot_be_read_is_refused_in_words() -> None:
    with pytest.raises(BadRequest, match="host"):
        read_job_url(f"https://[::1/#?job={NEW}")
