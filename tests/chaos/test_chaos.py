"""The small chaos of ``make test``: SQLite, about twenty seconds, and no report of durations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.play import play


@pytest.mark.timeout(300)
async def test_real_processes_keep_every_promise_while_they_are_killed_and_cut_off(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", "1"))
    played = await play(tmp_path, seed, 8, workers=2, clients=2, cpus=4, silence=False)
    assert played.judgement.broken == {}, f"seed {seed}"
    assert played.trouble == [], f"seed {seed}"
    assert played.judgement.finished == played.judgement.acknowledged > 0
