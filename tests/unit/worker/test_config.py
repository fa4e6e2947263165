"""Choices: flag, then environment, then file, then default; and which queue they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.address import Address, parse_address
from asman_shared.errors import BadRequest
from asman_worker import load_config


@pytest.mark.parametrize(
    ("queue", "hub", "base", "name"),
    [
        ("http://h:8000/q/abc", "", "http://h:8000", "abc"),
        ("https://h/q/abc/", "", "https://h", "abc"),
        ("wss://h/prefix/q/a.b-c_d/worker", "", "https://h/prefix", "a.b-c_d"),
        ("ws://h/q/abc?x=1#y", "", "http://h", "abc"),
        ("http://h/q/a%2Eb", "", "http://h", "a.b"),
        ("abc", "https://hub.example", "https://hub.example", "abc"),
        ("abc", "hub:1234", "http://hub:1234", "abc"),
        ("abc", "wss://hub/x/", "https://hub/x", "abc"),
        ("http://[::1]:80/q/abc", "", "http://[::1]:80", "abc"),
    ],
)
def test_a_queue_is_a_url_or_a_name_on_a_hub(queue: str, hub: str, base: str, name: str) -> None:
    target = parse_address(queue, hub)
    assert (target.hub, target.queue) == (base, name)
    assert target.worker_socket == base.replace("http", "ws", 1) + f"/q/{name}/worker"
    assert target.absolute("/blobs/x?y") == f"{base}/blobs/x?y"
    assert target.absolute("https://s3/x") == "https://s3/x"


@pytest.mark.parametrize(
    ("queue", "hub"),
    [
        ("", ""),
        ("abc", ""),
        ("-a", "http://h"),
        ("http://h/", ""),
        ("http://h/q/%20a", ""),
        ("ftp://h/q/a", ""),
        ("a/b", "http://h"),
        ("abc", "ftp://h"),
    ],
)
def test_what_is_no_queue_is_refused_with_a_sentence(queue: str, hub: str) -> None:
    with pytest.raises(BadRequest):
        parse_address(queue, hub)


def test_flag_then_environment_then_file_then_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "asman.toml"
    file.write_text('[worker]\nname = "file"\ncpus = 1.5\ngpus = 3\nmax_duration = "1h"\n')
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    monkeypatch.setenv("ASMAN_WORKER_NAME", "env")
    monkeypatch.setenv("ASMAN_WORKER_CPUS", "2.5")
    monkeypatch.setenv("ASMAN_WORKER_TAGS", "a, b c")
    monkeypatch.setenv("ASMAN_HUB", "http://hub")
    config = load_config(name="flag", queue="abc", cpus=None)
    assert (config.name, config.cpus, config.gpus, config.max_duration) == ("flag", 2.5, "3", 3_600_000)
    assert config.tags == ("a", "b", "c")
    assert config.targets == [Address("http://hub", "abc")]
    assert config.executor == "docker"


def test_a_list_of_queues_is_divided_by_white_space_of_ascii_and_commas_alone() -> None:
    config = load_config(queue="\u00a0foo\n\tb, http://h/q/c\u3000d", hub="http://hub")
    assert config.targets == [
        parse_address("http://hub/q/%C2%A0foo"),
        Address("http://hub", "b"),
        parse_address("http://h/q/c%E3%80%80d"),
    ]


def test_a_file_that_is_named_but_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, why in ((tmp_path / "none.toml", "does not exist"), (tmp_path, "is a folder")):
        monkeypatch.setenv("ASMAN_CONFIG", str(path))
        with pytest.raises(BadRequest, match=f"the configuration file {path} {why}") as error:
            load_config()
        assert error.value.field == "config"


@pytest.mark.parametrize("text", ["[worker", "worker = 3", "= 1", "[[worker]]\n[[worker]]"])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "asman.toml"
    file.write_text(text)
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    with pytest.raises(BadRequest, match="can't be read"):
        load_config()


def test_a_setting_of_the_table_that_there_is_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "asman.toml"
    file.write_text("port = 1111\n[worker]\ncpuss = 3\n")
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    with pytest.raises(BadRequest, match=r"has an unknown setting 'cpuss'; did you mean 'cpus'\?") as error:
        load_config()
    assert str(file) in error.value.message
    assert "[worker]" in error.value.message


def test_a_settings_file_as_windows_writes_it_means_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "asman.toml"
    file.write_bytes(b"\xef\xbb\xbf[worker]\r\nname = 'x'\r\n")
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    assert load_config().name == "x"


def test_units_are_read_strictly() -> None:
    config = load_config(memory="8GiB", drain_timeout="1m30s")
    assert (config.memory, config.drain_timeout) == (8 * 2**30, 90_000)
    for wrong in (
        {"memory": "8"},
        {"memory": "lots"},
        {"max_duration": "20"},
        {"max_duration": "soon"},
        {"cpus": 0},
        {"executor": "magic"},
    ):
        with pytest.raises(BadRequest):
            load_config(**wrong)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(BadRequest, match="colour"):
        load_config(colour="red")


def test_defaults_come_from_the_machine() -> None:
    config = load_config()
    assert config.cpus >= 1
    assert config.memory > 2**28
    assert config.name


@pytest.mark.parametrize("text", ["[wroker]\ncpus = 3\n", "port = 1\n[wroker]\n[worker]\ncpus = 3\n"])
def test_a_mistyped_table_is_refused_and_the_right_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "asman.toml"
    file.write_text(text)
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    with pytest.raises(BadRequest) as error:
        load_config()
    assert error.value.message.endswith(f"the file {file} has an unknown setting 'wroker'; did you mean 'worker'?")


def test_a_mistyped_variable_of_the_worker_is_warned_about_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ASMAN_WORKER_CPU", "ASMAN_WROKER_TAGS", "ASMAN_PORTT", "ASMAN_WORKER_MEMORY", "ASMAN_WORKER_MOOD"):
        monkeypatch.setenv(name, "1GiB")
    load_config()
    assert [each for each in caplog.messages if "did you mean" in each] == [
        "the environment variable ASMAN_WORKER_CPU is no setting; did you mean ASMAN_WORKER_CPUS?",
        "the environment variable ASMAN_WROKER_TAGS is no setting; did you mean ASMAN_WORKER_TAGS?",
    ]


def test_a_table_of_the_hub_is_told_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "asman.toml"
    file.write_text("[hub]\nport = 1111\n[worker]\ncpus = 3\n")
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    with pytest.raises(BadRequest, match=r"has a table \[hub\]: the hub's settings stand at the top"):
        load_config()


def test_a_wrong_word_is_told_with_the_nearest_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match=r"executor: it must be .* not 'proces'; did you mean 'process'\?"):
        load_config(executor="proces")
    monkeypatch.setenv("ASMAN_WORKER_PULL", "allways")
    with pytest.raises(BadRequest, match=r"pull: it must be .* not 'allways'; did you mean 'always'\?"):
        load_config()
