"""Settings of a process, from layers: a flag wins over the environment, that over the file, that over the default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

CONFIG_VARIABLE: Final = "ASMAN_CONFIG"
"""Environment variable that names the file, when no flag does."""


class LayeredSettings(BaseSettings):
    """The base of all settings; the constructor takes the flags.

    Attributes:
        table: The table of the file that has these settings; empty for the top of the file.
    """

    table: ClassVar[str] = ""

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
        """Flags, environment, file; defaults come last by themselves."""
        path = cls.settings_file()
        if path is None:
            return init_settings, env_settings
        file = _Toml(settings_cls, path)
        if cls.table:
            file.init_kwargs = dict(file.toml_data.get(cls.table, {}))
        return init_settings, env_settings, file


class _Toml(TomlConfigSettingsSource):
    """A file that may begin with a byte order mark, as editors of Windows write it."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return tomllib.loads(file_path.read_bytes().decode("utf-8-sig"))


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the flags that were given on the command line; the others are None."""
    return {name: value for name, value in flags.items() if value is not None}
