"""Settings: a flag wins over the environment, that over the file, that over the default; wrong ones are a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_server.config import HubConfig, load_config
from asman_shared.errors import BadRequest


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HubConfig.model_fields:
        monkeypatch.delenv(f"ASMAN_{name.upper()}", raising=False)
    monkeypatch.delenv("ASMAN_CONFIG", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "hub.toml"
    made.write_text('port = 1111\ngrace = "11s"\nretention = "11d"\n')
    return made


def test_precedence_is_flag_then_environment_then_file_then_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_PORT", "2222")
    monkeypatch.setenv("ASMAN_GRACE", "22s")
    made = load_config(config=file, port=3333, host=None)
    assert (made.port, made.grace, made.retention, made.host) == (3333, "22s", "11d", "127.0.0.1")


def test_the_environment_may_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASMAN_CONFIG", str(file))
    assert load_config().port == 1111
    other = file.with_name("other.toml")
    other.write_text("port = 4444\n")
    assert load_config(config=other).port == 4444


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('retenton = "3d"\n', "unknown setting 'retenton'; did you mean 'retention'?"),
        (f"{'x' * 5000} = 1\n", f"unknown setting '{'x' * 40}'"),
    ],
)
def test_a_setting_that_there_is_not_is_refused_and_the_nearest_one_named(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(BadRequest) as error:
        load_config(config=file)
    assert error.value.message == f"the file {file} has an {says}"


def test_a_file_may_also_have_the_worker_s_settings(file: Path) -> None:
    file.write_text("port = 5555\n[worker]\ncpus = 3\n")
    assert load_config(config=file).port == 5555


def test_a_file_of_one_hub_is_not_that_of_the_next(file: Path) -> None:
    assert load_config(config=file).port == 1111
    assert load_config().port == 8000


def test_the_database_is_in_the_data_folder_unless_it_is_named(tmp_path: Path) -> None:
    assert load_config(data_dir=tmp_path).database == f"sqlite:///{tmp_path}/hub.sqlite"
    assert load_config(database_url="postgresql://h/d").database == "postgresql://h/d"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "seventy"),
        ("port", "70000"),
        ("grace", "20"),
        ("data_dir", ""),
        ("grace", "soon"),
        ("retention", "-1d"),
        ("log_level", "loud"),
        ("shutdown_timeout", "-1"),
        ("allow_private_webhooks", "perhaps"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_setting(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ASMAN_{name.upper()}", value)
    with pytest.raises(BadRequest) as caught:
        load_config()
    assert caught.value.field == name
    assert f"--{name.replace('_', '-')} or ASMAN_{name.upper()}" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_or_can_t_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="does not exist"):
        load_config(config=tmp_path / "no.toml")
    with pytest.raises(BadRequest, match="is a folder"):
        load_config(config=tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1")
    with pytest.raises(BadRequest, match=r"broken\.toml can't be read"):
        load_config(config=broken)


@pytest.mark.parametrize("wrong", ["1KiB", "5GiB", "16", "much"])
def test_a_log_limit_out_of_its_bounds_is_refused(wrong: str) -> None:
    with pytest.raises(BadRequest, match="the setting 'log_limit'"):
        load_config(log_limit=wrong)
    assert load_config(log_limit="64KiB").log_limit == "64KiB"


@pytest.mark.parametrize(
    ("variable", "means"),
    [("ASMAN_PORTT", "ASMAN_PORT"), ("ASMAN_RETENTOIN", "ASMAN_RETENTION"), ("asman_log_levle", "ASMAN_LOG_LEVEL")],
)
def test_a_mistyped_variable_is_warned_about_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, means: str
) -> None:
    monkeypatch.setenv(variable, "1")
    load_config()
    assert f"the environment variable {variable} is no setting; did you mean {means}?" in caplog.messages


def test_variables_of_the_worker_the_commands_and_other_programs_are_not_warned_about(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ASMAN_WORKER_CPU", "ASMAN_QUEUE", "ASMAN_CONFIG_HOME", "ASMAN_PORT", "ASMAN_THEME", "MY_ASMAN_PORTT"):
        monkeypatch.setenv(name, "1")
    load_config()
    assert not [each for each in caplog.messages if "did you mean" in each]


def test_what_a_wrong_setting_is_told_with_begins_with_no_word_of_a_library() -> None:
    with pytest.raises(BadRequest) as error:
        load_config(retention="soon")
    assert "Value error" not in error.value.message
    assert error.value.message.startswith("the setting 'retention' (--retention or ASMAN_RETENTION) is wrong: ")


def test_a_table_for_the_hub_is_told_to_be_none(file: Path) -> None:
    file.write_text("[hub]\nport = 1\n")
    with pytest.raises(BadRequest, match=r"has a table \[hub\]: the hub's settings stand at the top of the file"):
        load_config(config=file)


def test_a_wrong_word_is_told_with_the_nearest_right_one() -> None:
    with pytest.raises(BadRequest) as caught:
        load_config(log_level="infos")
    said = caught.value.message
    assert said.endswith("it must be 'debug', 'info', 'warning' or 'error', not 'infos'; did you mean 'info'?")
