"""Settings of a process, from layers: a flag wins over the environment, that over the file, that over the default."""

from __future__ import annotations

import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from . import limits
from .errors import BadRequest

T = TypeVar("T")

log = logging.getLogger("asman.settings")

CONFIG_VARIABLE: Final = "ASMAN_CONFIG"
"""Environment variable that names the file, when no flag does."""
FAMILY: Final = "ASMAN_"
"""Beginning of the names of all environment variables of Asman."""
_OF_COMMANDS: Final = frozenset(
    {"QUEUE", "QUEUE_FILE", "HUB", "IMAGE", "CONFIG", "CONFIG_HOME", "DEBUG", "COMPLETE", "LOG_LEVEL", "LOG_FORMAT"}
)
"""Variables, without that beginning, that are not mistyped although they are no setting of one of the processes."""
_HUB_TABLE: Final = "hub"
_NEAR: Final = 0.8
"""Likeness, from 0 to 1, from which on a name counts as mistyped."""
_VARIABLES: Final = 10_000
"""Largest number of environment variables that are looked at."""
_SHOWN: Final = 40
"""Number of characters of a wrong number that an error shows."""


def _not_empty(path: Any) -> Any:
    if path == "":
        raise ValueError("give a path, not an empty text")
    return path


NamedPath = Annotated[Path, BeforeValidator(_not_empty)]
"""A path of a file or folder. An empty text is refused, which would otherwise mean the current folder."""


class LayeredSettings(BaseSettings):
    """The base of all settings; the constructor takes the flags.

    Attributes:
        table: The table of the file that has these settings; empty for the top of the file.
        other_tables: Tables at the top of the file that have the settings of another process.
    """

    model_config = SettingsConfigDict(str_max_length=limits.HEADER_LENGTH)
    table: ClassVar[str] = ""
    other_tables: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def settings_file(cls) -> Path | None:
        """The TOML file, if there is one: that which ``ASMAN_CONFIG`` names."""
        named = os.environ.get(CONFIG_VARIABLE)
        return Path(named) if named else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, file; defaults come last by themselves.

        Raises:
            BadRequest: The file names a setting or a table that there is not.
        """
        _tell_mistyped(cls)
        path = cls.settings_file()
        if path is None:
            return init_settings, env_settings
        file = _Toml(settings_cls, path)
        if cls.table:
            # The other settings at the top are the hub's, which has no tables.
            tables = [name for name, value in file.toml_data.items() if isinstance(value, dict)]
            _check_no_table(tables, path)
            _check_names(dict.fromkeys(tables), {cls.table}, f"the file {path}")
            file.init_kwargs = dict(file.toml_data.get(cls.table, {}))
            _check_names(file.init_kwargs, set(cls.model_fields), f"the table [{cls.table}] of the file {path}")
        else:
            _check_no_table(file.toml_data, path)
            _check_names(file.toml_data, {*cls.model_fields, *cls.other_tables}, f"the file {path}")
        return init_settings, env_settings, file


def _tell_mistyped(settings: type[LayeredSettings]) -> None:
    """Warns of variables that nearly have the name of a setting. Others may be those of other programs."""
    prefix = str(settings.model_config.get("env_prefix", "")).upper()
    names = {f"{prefix}{name.upper()}".removeprefix(FAMILY) for name in settings.model_fields}
    others = tuple(f"{FAMILY}{table.upper()}_" for table in settings.other_tables)
    for variable in sorted(os.environ)[:_VARIABLES]:
        given_name = variable.upper().removeprefix(FAMILY)
        if not variable.upper().startswith(FAMILY) or given_name in names | _OF_COMMANDS:
            continue
        near = get_close_matches(given_name, sorted(names), 1, _NEAR)
        if near and not variable.upper().startswith(others):
            log.warning(
                "the environment variable %s is no setting; did you mean %s%s?", variable[:_SHOWN], FAMILY, near[0]
            )


class _Toml(TomlConfigSettingsSource):
    """A file that may begin with a byte order mark, as editors of Windows write it."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return tomllib.loads(file_path.read_bytes().decode("utf-8-sig"))


def _check_no_table(tables: Iterable[str], path: Path) -> None:
    """Refuses a table for the settings of the hub, which have none."""
    if _HUB_TABLE in tables:
        raise BadRequest(
            f"the file {path} has a table [{_HUB_TABLE}]: the hub's settings stand at the top of the file, before any "
            "table; remove that line",
            field=_HUB_TABLE,
        )


def _check_names(given: Mapping[str, Any], known: set[str], where: str) -> None:
    """Refuses a name that is no setting: whoever mistyped it would get the default without a word."""
    for name in given:
        if name not in known:
            near = get_close_matches(name, sorted(known), 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise BadRequest(f"{where} has an unknown setting '{name[:_SHOWN]}'{hint}", field=name[:_SHOWN])


def check_settings_file(path: Path | None) -> None:
    """Checks that the file that was named is one.

    Raises:
        BadRequest: It is missing, or something else.
    """
    if path is not None and not path.is_file():
        why = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
        raise BadRequest(f"the configuration file {path} {why}", field="config")


def checked(read: Callable[[str], T], value: str) -> T:
    """Reads a setting; turns an unreadable value into pydantic's kind of error, which knows the setting's name."""
    try:
        return read(value)
    except BadRequest as error:
        raise ValueError(error.message) from error


def not_fitting(error: ValidationError) -> str:
    """Returns what is wrong with the first setting at fault; for a number with the number, for a secret without."""
    first = error.errors()[0]
    shown = first["type"].startswith(("greater_than", "less_than", "finite", "int_", "float_"))
    sentence = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "literal_error":
        expected, value = str(first["ctx"]["expected"]), str(first["input"])
        near = get_close_matches(value, re.findall(r"'([^']*)'", expected), 1)
        return f"it must be {expected}, not {value[:_SHOWN]!r}" + (f"; did you mean '{near[0]}'?" if near else "")
    return f"{sentence}, not {str(first['input'])[:_SHOWN]!r}" if shown else sentence


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the flags that were given on the command line; the others are None."""
    return {name: value for name, value in flags.items() if value is not None}
