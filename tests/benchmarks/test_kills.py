"""Runs killed at random moments end like the one that nobody disturbed."""

import pytest

from benchmarks import kills
from lab.run import load

pytestmark = pytest.mark.slow


def test_killed_runs_end_like_the_unbroken_one(tmp_path):
    result = kills.kill(6, tmp_path, seed=0)
    _, facts = load(tmp_path / "unbroken" / "checkpoint.npz")
    assert 1 < facts["progress"]["best_epoch"] < kills.EPOCHS
    assert len(result["kills"]) == 6
    assert result["differences"] and not any(result["differences"])
    assert any(moment.startswith("writing") for moment, _ in result["kills"])
