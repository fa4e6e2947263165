"""Alerts and dashboard know the metrics that a hub and a worker really export, and each alert fires when it shall."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.asman_processes import asman_processes
from devtools.patience import PATIENCE
from devtools.ports import free_port
from tests.support.tls_hub import TlsHub, tls_hub

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "asman.rules.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"].replace("$hub", ".*") for panel in PANELS for target in panel["targets"]]
QUEUE = "watched-queue-0123456789"
OWN_LABELS = {"job", "instance"}
"""Labels that Prometheus adds."""
WORDS = {"and", "or", "unless", "on", "by", "sum", "rate", "increase", "changes", "topk", "time", "histogram_quantile"}


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed; make setup installs it"
    return found


def promtool(*words: str, folder: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=folder, check=False)


def used(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that an expression names."""
    labels: set[str] = set()
    for within in re.findall(r"\{([^}]*)\}", expression):
        labels |= {each[0] for each in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"', within)}
    for within in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression):
        labels |= {each.strip() for each in within.split(",")}
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)|\"[^\"]*\"", " ", expression)
    return set(re.findall(r"(?<![\w.])[a-z_][a-z_0-9]*", bare)) - WORDS, labels


def test_metrics_and_labels_of_an_expression_are_found() -> None:
    text = 'sum by (le, queue) (rate(a_bucket{b="c", d=~"e.*"}[5m])) > 0.5 and on (f) up{job="g"} == 0'
    assert used(text) == ({"a_bucket", "up"}, {"le", "queue", "b", "d", "f", "job"})


# ------------------------------------------------------------------------------------------------ what is exported


class Watched:
    """A hub, a worker and a Prometheus that watches both."""

    def __init__(self, hub: TlsHub, worker_port: int, prometheus: str) -> None:
        self.hub = hub
        self.prometheus = prometheus
        with urllib.request.urlopen(f"http://127.0.0.1:{worker_port}/metrics", timeout=20) as answer:
            exported = hub.get("/metrics").decode() + answer.read().decode()
        self.labels: dict[str, set[str]] = {"up": set()}
        for name, labels in re.findall(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$", exported, re.MULTILINE):
            self.labels.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))

    def asked(self, path: str, **query: str) -> Any:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory() as name, asman_processes(Path(name)) as started:
        folder = Path(name)
        hub = tls_hub(started, "--blob-quota", "1GiB")
        trusts, port = hub.environment, free_port()
        words = ("--executor", "process", "--data-dir", str(folder / "w"), "--status", str(port))
        worker = started.worker(hub.queue(QUEUE), *words, environment=trusts)
        worker.wait_for_output("registered at", PATIENCE)
        for command in ("echo fine", "exit 3"):
            told = hub.get(f"/q/{QUEUE}/jobs?wait=1m", json.dumps({"definition": {"command": command}}).encode())
            assert json.loads(told)["job"]["state"] == "Finished"
        hub.get(f"/q/{QUEUE}/jobs", b'{"definition": {"command": "echo never", "requirements": {"gpus": 2}}}')
        settings = (MONITORING / "prometheus.yml").read_text()
        changes = {
            '["127.0.0.1:8000"]': f'["localhost:{hub.port}"]\n    scheme: https\n    tls_config: '
            f'{{ ca_file: "{hub.tls / "ca.pem"}" }}',
            '["127.0.0.1:9797"]': f'["127.0.0.1:{port}"]',
            "scrape_interval: 15s": "scrape_interval: 200ms\n  evaluation_interval: 1s",
        }
        for old, new in changes.items():
            assert old in settings
            settings = settings.replace(old, new)
        (folder / "prometheus.yml").write_text(settings)
        shutil.copy(MONITORING / "asman.rules.yml", folder)
        own = free_port()
        with (folder / "prometheus.log").open("wb") as log:
            running = subprocess.Popen(
                [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/db",
                 f"--web.listen-address=127.0.0.1:{own}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            made = Watched(hub, port, f"http://127.0.0.1:{own}")
            deadline = time.monotonic() + PATIENCE
            while not all_up(made):
                assert running.poll() is None, (folder / "prometheus.log").read_text()
                assert time.monotonic() < deadline, (folder / "prometheus.log").read_text()
                time.sleep(0.1)
            yield made
        finally:
            running.terminate()
            running.wait(20)


def all_up(watched: Watched) -> bool:
    try:
        found = watched.asked("query", query="up")["result"]
    except OSError:
        return False
    return len(found) == 2 and all(each["value"][1] == "1" for each in found)


def test_each_metric_and_label_exists(watched: Watched) -> None:
    expressions = [*(rule["expr"] for rule in RULES), *QUERIES]
    assert len(expressions) > 40
    for expression in expressions:
        metrics, labels = used(expression)
        assert metrics, expression
        for metric in metrics:
            assert metric in watched.labels, f"neither hub nor worker exports {metric}, of which {expression} asks"
        known = OWN_LABELS.union(*(watched.labels[metric] for metric in metrics))
        assert labels <= known, f"the metrics of {expression} have no label {labels - known}"


def test_each_query_of_the_dashboard_has_an_answer(watched: Watched) -> None:
    deadline = time.monotonic() + PATIENCE
    for query in QUERIES:
        while not watched.asked("query", query=query)["result"]:
            assert time.monotonic() < deadline, f"the answer to {query} stays empty"
            time.sleep(0.1)


async def test_prometheus_carries_out_each_rule(watched: Watched) -> None:
    names = {rule["alert"] for rule in RULES}
    async with asyncio.timeout(PATIENCE):
        while True:
            found = (await asyncio.to_thread(watched.asked, "rules"))["groups"]
            rules = {rule["name"]: rule for group in found for rule in group["rules"]}
            known = rules.keys() == names and all(rule["health"] != "unknown" for rule in rules.values())
            if known and rules["AsmanCertificateExpires"]["state"] == "firing":
                break
            await asyncio.sleep(0.1)
    assert [rule["lastError"] for rule in rules.values() if rule.get("lastError")] == []
    firing = {name for name, rule in rules.items() if rule["state"] == "firing"}
    assert firing == {"AsmanCertificateExpires"}, "of a healthy hub, whose certificate in this test ends in two days"


# ------------------------------------------------------------------------------------------------ alerts

_IN_A_WEEK = 8 * 86_400
FIRES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "AsmanHubDown": ("3m", {'up{job="asman-hub"}': "0x90"}, {'up{job="asman-hub"}': "1x90"}),
    "AsmanHubNotReady": ("3m", {"asman_ready": "0x90"}, {"asman_ready": "1x90"}),
    "AsmanHubRestarts": (
        "60m",
        {'process_start_time_seconds{job="asman-hub"}': "1x10 2x10 3x10 4x10 5x40"},
        {'process_start_time_seconds{job="asman-hub"}': "1x10 2x90"},
    ),
    "AsmanDatabaseFailing": ("2m", {"asman_database_failing": "1x90"}, {"asman_database_failing": "0x90"}),
    "AsmanCommitsRefused": ("10m", {"asman_commit_refused_total": "0x5 1x90"}, {"asman_commit_refused_total": "7x90"}),
    "AsmanCommitsSlow": (
        "30m",
        {'asman_commit_seconds_bucket{le="0.5"}': "0x90", 'asman_commit_seconds_bucket{le="1.0"}': "0+10x90",
         'asman_commit_seconds_bucket{le="+Inf"}': "0+10x90"},
        {'asman_commit_seconds_bucket{le="0.5"}': "0+10x90", 'asman_commit_seconds_bucket{le="+Inf"}': "0+10x90"},
    ),
    "AsmanBlobQuota": (
        "30m",
        {"asman_blob_bytes": "80x90", "asman_upload_bytes": "15x90", "asman_blob_quota_bytes": "100x90"},
        {"asman_blob_bytes": "80x90", "asman_upload_bytes": "5x90", "asman_blob_quota_bytes": "100x90"},
    ),
    "AsmanOpenFiles": (
        "10m",
        {'process_open_fds{job="asman-hub"}': "900x90", 'process_max_fds{job="asman-hub"}': "1000x90"},
        {'process_open_fds{job="asman-hub"}': "700x90", 'process_max_fds{job="asman-hub"}': "1000x90"},
    ),
    "AsmanReadersTooSlow": (
        "20m", {"asman_outbox_overflows_total": "0+2x90"}, {"asman_outbox_overflows_total": "0x10 3x90"},
    ),
    "AsmanCertificateExpires": (
        "10m",
        {"asman_certificate_expiry_timestamp_seconds": "86400x90"},
        {"asman_certificate_expiry_timestamp_seconds": f"{_IN_A_WEEK}x90"},
    ),
    "AsmanCertificateFailing": ("20m", {"asman_certificate_failing": "1x90"}, {"asman_certificate_failing": "0x90"}),
    "AsmanNoWorkers": (
        "30m",
        {'asman_queue_jobs_queued{queue="q"}': "5x90", 'asman_queue_workers{queue="q",state="ready"}': "0x90"},
        {'asman_queue_jobs_queued{queue="q"}': "5x90", 'asman_queue_workers{queue="q",state="ready"}': "1x90"},
    ),
    "AsmanJobsFitNowhere": (
        "150m",
        {
            'asman_queue_shape_queued{queue="q",shape="gpus=2"}': "5x200",
            'asman_queue_shape_room{queue="q",shape="gpus=2"}': "0x200",
            'asman_queue_runs_finished_total{queue="q",reason="Success"}': "9x200",
        },
        {
            'asman_queue_shape_queued{queue="q",shape="gpus=2"}': "5x200",
            'asman_queue_shape_room{queue="q",shape="gpus=2"}': "0x200",
            'asman_queue_runs_finished_total{queue="q",reason="Success"}': "0+1x200",
        },
    ),
    "AsmanWorkersLost": (
        "20m",
        {'asman_jobs_finished_total{reason="WorkerLost"}': "0x5 1x90"},
        {'asman_jobs_finished_total{reason="WorkerLost"}': "1x90"},
    ),
    "AsmanJobsEndInErrors": (
        "40m",
        {
            'asman_jobs_finished_total{reason="Error"}': "0+1x90",
            'asman_jobs_finished_total{reason="Success"}': "0+1x90",
        },
        {
            'asman_jobs_finished_total{reason="Error"}': "0+1x90",
            'asman_jobs_finished_total{reason="Success"}': "0+9x90",
        },
    ),
    "AsmanWorkerDown": ("10m", {'up{job="asman-worker"}': "0x90"}, {'up{job="asman-worker"}': "1x90"}),
    "AsmanWorkerDisconnected": (
        "10m", {'asman_worker_connected{queue="q"}': "0x90"}, {'asman_worker_connected{queue="q"}': "0x3 1x90"},
    ),
    "AsmanWorkerEngineDown": ("10m", {"asman_worker_engine_up": "0x90"}, {"asman_worker_engine_up": "1x90"}),
    "AsmanWorkerDiskFull": (
        "20m", {"asman_worker_free_disk_bytes": "1000x90"}, {"asman_worker_free_disk_bytes": "2000000000x90"},
    ),
    "AsmanWorkerDrains": (
        "80m", {'asman_worker_draining{queue="q"}': "1x90"}, {'asman_worker_draining{queue="q"}': "1x50 0x90"},
    ),
}  # fmt: skip
"""For each alert: a time, series with which it fires then, and series with which it does not; a value a minute."""


def test_alerts_fire_when_they_shall_and_are_silent_when_all_is_well(tmp_path: Path) -> None:
    assert FIRES.keys() == {rule["alert"] for rule in RULES}
    tests = []
    for alert, (at, wrong, well) in FIRES.items():
        for series, fires in ((wrong, True), (well, False)):
            values = [{"series": with_instance(name), "values": value} for name, value in series.items()]
            query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
            samples = [{"labels": "{}", "value": 1}] if fires else []
            tests.append(
                {
                    "interval": "1m",
                    "name": f"{alert} {'fires' if fires else 'is silent'}",
                    "input_series": values,
                    "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": samples}],
                }
            )
    made = {"rule_files": [str(MONITORING / "asman.rules.yml")], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(made))
    done = promtool("test", "rules", str(tmp_path / "alerts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def with_instance(series: str) -> str:
    name, _, labels = series.partition("{")
    return f'{name}{{instance="i"{"," if labels else ""}{labels or "}"}'


def test_promtool_finds_nothing_wrong() -> None:
    done = promtool("check", "rules", "asman.rules.yml")
    assert done.returncode == 0, done.stderr
    assert f"{len(RULES)} rules found" in done.stdout
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stderr


def test_each_alert_says_what_is_wrong_and_where_the_runbook_says_what_to_do() -> None:
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    assert {rule["alert"] for rule in RULES} == {name for name in headings if name.startswith("Asman")}
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook_url"].endswith(f"docs/operations.md#{rule['alert'].lower()}")


def test_the_figures_for_sizing_are_the_measured_ones() -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Sizing")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| ")]
    figures = [row[2] for row in rows if row[2] != "measured"]
    assert len(figures) >= 10
    measured = (ROOT / "docs" / "performance.md").read_text()
    assert [figure for figure in figures if figure not in measured] == []


# ------------------------------------------------------------------------------------------------ dashboard


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    titles = [panel["title"] for panel in PANELS]
    assert len(titles) == len(set(titles))
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) <= variables
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${source}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
