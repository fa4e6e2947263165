"""Every option and every setting has a least and a greatest value, and refuses what is beyond with its name and bound.

A new option is found by itself; one of text must say here what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr

from asman.cli.main import main
from asman.cli.tree import command_tree
from asman_server import config as hub
from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_worker import config as worker

TEXTS = {
    "duration": "timeout queue_timeout phase_timeout drain_timeout retention longest_retention blob_retention grace "
    "max_duration exit_when_idle cache_age since set_to older_than",
    "size": "memory blob_quota disk_reserve log_limit disk input_cache image_cache job_cache",
    "file": "data_dir output build dockerfile config queue_file registry_auth git_credentials secrets file place "
    "tls_cert tls_key",
    "word of a list": "executor on_interrupt reuse log_level log_format pull state stream phase",
    "text that its receiver bounds": "host queue network default_image local_images oci_image allow_origin words hub "
    "image git build_arg env workdir tag keep namespace database_url public_url blobs s3_endpoint s3_public_endpoint "
    "s3_region name gpus docker runtime allow_image deny_image allow_host git_credentials_for secret status command "
    "shared_folder s3_bucket "
    "grep worker "
    "around to called forget trusted_proxies backup to_database_url to_blobs "
    "limit_submits limit_queued limit_bytes limit_connections limit_queues unlimited",
}
"""The parameters that are no numbers, by the kind of their text. `parse_duration` and `parse_size` bound the first two;
the hub's ranges, the settings and the operating system bound the others."""

KINDS = {name: kind for kind, names in TEXTS.items() for name in names.split()}
ONLY_TEXT = {"gpus", "since"}
"""Parameters that are a number in one command and a text in another."""


def parameters(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every parameter of every command, with the command's words."""
    command = command or command_tree()
    for name in getattr(command, "commands", ()):
        yield from parameters(command.commands[name], (*path, name))
    yield from ((path, each) for each in command.params if type(each.type).__name__ != "BoolParamType")


def is_number(parameter: Any) -> bool:
    return type(parameter.type).__name__ in ("IntParamType", "FloatParamType", "IntRange", "FloatRange")


ALL = list(parameters())
NUMBERS = [(path, each) for path, each in ALL if is_number(each)]


def named(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(getattr(value, "name", value))


@pytest.mark.parametrize(("path", "option"), ALL, ids=named)
def test_an_option_is_a_number_with_bounds_or_a_text_of_a_known_kind(path: tuple[str, ...], option: Any) -> None:
    if is_number(option):
        assert getattr(option.type, "min", None) is not None, "give the option its least value"
        assert getattr(option.type, "max", None) is not None, "give the option its greatest value"
    else:
        assert option.name in KINDS, "say in TEXTS what this option is, and what bounds it"


@pytest.mark.parametrize(("path", "option"), NUMBERS, ids=named)
def test_a_number_beyond_its_bounds_is_refused_with_its_name_and_the_bound(
    path: tuple[str, ...], option: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, bound in ((option.type.max + 1, option.type.max), (option.type.min - 1, option.type.min)):
        with pytest.raises(SystemExit) as ended:
            main([*path, f"{option.opts[0]}={value}"])
        told = capsys.readouterr().err
        assert ended.value.code == 2
        assert option.opts[0] in told
        assert str(value) in told
        assert str(bound) in told


def numbers(config: type[Any]) -> Iterator[tuple[str, float, float]]:
    """The settings that are numbers, with their least and greatest."""
    for name, field in config.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        if not {int, float} & set(kinds) or get_origin(field.annotation) is Literal:
            continue
        found: dict[str, float] = {}
        for each in (*field.metadata, *(part for kind in kinds for part in getattr(kind, "__metadata__", ()))):
            for one in getattr(each, "metadata", (each,)):
                found |= {side: getattr(one, side) for side in ("ge", "le") if hasattr(one, side)}
        assert found.keys() == {"ge", "le"}, f"give the setting {name} a least and a greatest value"
        yield name, found["ge"], found["le"]


def kind_of(config: type[Any], name: str) -> str:
    """Whether a setting is a duration or a size, by its reader or by the option that sets it; else empty."""
    readers = {"_millis": "duration", "_bytes": "size"}
    parts = (*config.model_fields[name].metadata, *get_args(config.__annotations__.get(name)))
    read = (readers.get(getattr(getattr(each, "func", None), "__name__", ""), "") for each in parts)
    kind = next(filter(None, read), KINDS.get(name, ""))
    return kind if kind in BEYOND else ""


BEYOND = {"duration": ("36501d", "1000000d", "-1s", "soon", "x" * 100), "size": ("4097t", "-1b", "big", "x" * 100)}
LOADERS: tuple[tuple[type[Any], Callable[..., Any], str], ...] = (
    (hub.HubConfig, hub.load_config, "ASMAN_"),
    (worker.WorkerConfig, worker.load_config, "ASMAN_WORKER_"),
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASMAN_CONFIG", raising=False)


@pytest.mark.parametrize(("config", "load", "prefix"), LOADERS, ids=["hub", "worker"])
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_setting_beyond_its_bounds_is_refused_with_its_name_the_value_and_the_bound(
    config: type[Any],
    load: Callable[..., Any],
    prefix: str,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def refused(name: str, value: float) -> str:
        flags: dict[str, Any] = {}
        if source == "flag":
            flags = {name: value}
        elif source == "file":
            table = f"[{config.table}]\n" if config.table else ""
            (tmp_path / "asman.toml").write_text(f"{table}{name} = {value!r}\n")
            monkeypatch.setenv("ASMAN_CONFIG", str(tmp_path / "asman.toml"))
        else:
            monkeypatch.setenv(f"{prefix}{name.upper()}", str(value))
        with pytest.raises(BadRequest) as caught:
            load(**flags)
        monkeypatch.delenv(f"{prefix}{name.upper()}", raising=False)
        return caught.value.message

    found = list(numbers(config))
    assert found
    for name, least, most in found:
        if source == "environment" and kind_of(config, name):
            continue  # A size or duration is text there, which the next test feeds.
        for value, bound in ((least - 1, least), (most * 2, most)):
            told = refused(name, value)
            assert name in told
            assert f"{bound:g}" in told or str(bound) in told, told
            assert str(value) in told, told


@pytest.mark.parametrize(("config", "load", "prefix"), LOADERS, ids=["hub", "worker"])
def test_a_size_or_duration_beyond_all_bounds_is_refused_with_its_name(
    config: type[Any], load: Callable[..., Any], prefix: str
) -> None:
    fed = 0
    for name in config.model_fields:
        for text in BEYOND.get(kind_of(config, name), ()):
            fed += 1
            with pytest.raises(BadRequest) as caught:
                load(**{name: text})
            assert name in caught.value.message, caught.value.message
    assert fed > 15


@pytest.mark.parametrize(("config", "load", "prefix"), LOADERS, ids=["hub", "worker"])
def test_a_text_longer_than_any_setting_is_refused_and_a_secret_is_not_shown(
    config: type[Any], load: Callable[..., Any], prefix: str
) -> None:
    for name, field in config.model_fields.items():
        if field.annotation is str:
            with pytest.raises(BadRequest, match=name):
                load(**{name: "x" * (limits.HEADER_LENGTH + 1)})
        if field.annotation is SecretStr:
            with pytest.raises(BadRequest) as caught:
                load(**{name: 12345678901})
            assert "12345678901" not in caught.value.message
