"""The compose file names the services of the design, with images, targets and flags that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from asman_server.config import HubConfig, load_config
from asman_server.hub import s3_settings
from devtools.asman_processes import asman

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    found: dict[str, Any] = compose["services"]
    volumes = {volume.partition(":")[0] for one in found.values() for volume in one.get("volumes", [])}
    assert {name for name in volumes if re.fullmatch(r"[a-z0-9]+", name)} == set(compose["volumes"])
    return found


def test_has_the_services_of_the_design(services: dict[str, Any]) -> None:
    assert set(services) == {"hub", "worker", "postgres", "s3"}


def test_starts_nothing_that_the_hub_does_not_use_by_default(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "profiles" not in service} == {"hub", "worker"}
    assert services["postgres"]["profiles"] == ["postgres"]
    assert services["s3"]["profiles"] == ["s3"]


def test_builds_targets_of_the_dockerfile_and_pins_the_rest(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if build := service.get("build"):
            dockerfile = (ROOT / build["context"] / build["dockerfile"]).read_text()
            assert f" AS {build['target']}\n" in dockerfile, name
        else:
            _, _, tag = service["image"].partition(":")
            assert tag, f"{name} has no tag"
            assert tag != "latest", name


@pytest.mark.parametrize("name", ["hub", "worker"])
def test_uses_commands_and_flags_that_exist(services: dict[str, Any], name: str) -> None:
    command, *arguments = services[name]["command"]
    assert command == name
    told = asman(command, "--help")
    assert told.returncode == 0, told.stderr
    for flag in (one for one in arguments if one.startswith("--")):
        assert re.search(rf"(?<!\S){re.escape(flag)}(?!\S)", told.stdout), f"asman {command} has no {flag}"


def test_the_worker_can_set_the_rules_of_its_jobs_network_and_reaches_the_hub_from_there(
    services: dict[str, Any],
) -> None:
    worker, hub = services["worker"], services["hub"]
    assert worker["network_mode"] == "host"
    assert "NET_ADMIN" in worker["cap_add"]
    address, _, port = hub["ports"][0].removesuffix(":8000").partition("}:")
    assert address.endswith(":-127.0.0.1"), "plain HTTP is for this machine alone"
    assert value_of(worker, "--hub") == f"http://127.0.0.1:{port}"


def value_of(service: dict[str, Any], flag: str) -> str:
    """Returns what follows a flag in a service's command."""
    command: list[str] = service["command"]
    return command[command.index(flag) + 1]


def test_the_queues_name_stands_in_no_command_and_no_environment(services: dict[str, Any]) -> None:
    secrets = yaml.safe_load((ROOT / "compose.yaml").read_text())["secrets"]
    (secret,) = services["worker"]["secrets"]
    assert value_of(services["worker"], "--queue-file") == f"/run/secrets/{secret}"
    file = secrets[secret]["file"]
    assert file == "${ASMAN_QUEUE_FILE:-./asman-queue}"
    for name, service in services.items():
        assert not re.search(r"\$\{?ASMAN_QUEUE|/q/", str(service)), name
    for ignored in (".gitignore", ".dockerignore"):
        assert "asman-queue" in (ROOT / ignored).read_text(), f"{ignored} lets the queue's name into the repository"


def test_sets_variables_that_the_hub_reads_and_that_are_right(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = services["hub"]["environment"]
    for name, value in given.items():
        assert name.removeprefix("ASMAN_").lower() in HubConfig.model_fields, name
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))
    assert s3_settings(load_config()) is None
    assert load_config().database_url == ""
    monkeypatch.setenv("ASMAN_DATABASE_URL", "postgresql://asman:asman@postgres/asman")
    assert load_config().database_url == "postgresql://asman:asman@postgres/asman"
    postgres = services["postgres"]["environment"]
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]) == ("asman", "asman")
    monkeypatch.setenv("ASMAN_BLOBS", "s3://asman")
    made = s3_settings(load_config())
    assert made is not None
    assert (made.endpoint, made.access_key) == ("http://s3:9000", "asman")
    assert f"/data/{made.bucket} " in services["s3"]["entrypoint"][-1]


def test_the_dockerfile_copies_what_exists() -> None:
    for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from="):
            for source in words[1:-1]:
                # What has a star may be missing: packages that somebody puts beside the source.
                assert "*" in source or (ROOT / source).exists(), f"{line}: no {source}"
