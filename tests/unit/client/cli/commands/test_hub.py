"""The command that runs a hub: every option reaches the setting of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import asman_server.main
from asman_server.config import HubConfig
from tests.unit.client.cli.running import Run


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[HubConfig, Any]]:
    """The hubs that would run."""
    found: list[tuple[HubConfig, Any]] = []

    def run_hub(config: HubConfig, ready: Any) -> int:
        found.append((config, ready))
        return 0

    monkeypatch.setattr(asman_server.main, "run_hub", run_hub)
    return found


async def test_every_option_is_a_setting(begun: list[tuple[HubConfig, Any]], run: Run, tmp_path: Path) -> None:
    given = {
        "host": "127.0.0.2", "port": 1234, "public_url": "https://h", "default_image": "alpine", "retention": "3d",
        "longest_retention": "9d", "blob_quota": "5GiB", "blob_retention": "4d", "log_limit": "2MiB", "grace": "7s",
        "disk_reserve": "1GiB", "log_level": "debug", "log_format": "text",
    }  # fmt: skip
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    ended = await run("hub", "--data-dir", str(tmp_path), "--allow-private-webhooks", *words)
    assert ended.code == 0, ended.err
    ((config, ready),) = begun
    assert {name: getattr(config, name) for name in given} == given
    assert (config.data_dir, config.allow_private_webhooks, ready) == (tmp_path, True, None)


async def test_s3_is_set_by_options_and_its_keys_by_none(begun: list[tuple[HubConfig, Any]], run: Run) -> None:
    ended = await run(
        "hub", "--blobs", "s3://bucket/p", "--s3-endpoint", "http://e", "--s3-public-endpoint", "http://p",
        "--s3-region", "r", "--no-s3-path-style",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    config = begun[0][0]
    assert (config.blobs, config.s3_endpoint, config.s3_public_endpoint) == ("s3://bucket/p", "http://e", "http://p")
    assert (config.s3_region, config.s3_path_style) == ("r", False)
    assert (await run("hub", "--s3-secret-key", "x")).code != 0


async def test_the_address_is_written_as_json_where_that_is_asked_for(
    begun: list[tuple[HubConfig, Any]], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    await run("hub", "--json")
    begun[0][1]("http://127.0.0.1:8000")
    assert '"hub": "http://127.0.0.1:8000"' in capsys.readouterr().out


async def test_a_wrong_setting_is_said_and_no_hub_runs(begun: list[tuple[HubConfig, Any]], run: Run) -> None:
    ended = await run("hub", "--retention", "soon")
    assert ended.code != 0
    assert "retention" in ended.err
    assert begun == []
