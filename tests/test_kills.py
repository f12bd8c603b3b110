"""Runs killed at random moments end like the one that nobody disturbed."""

from benchmarks import kills
from recipes.run import load


def test_killed_runs_end_like_the_unbroken_one(tmp_path):
    result = kills.kill(20, tmp_path, seed=0)
    _, facts = load(tmp_path / "unbroken" / "checkpoint.npz")
    scores = [epoch["valid_perplexity"] for epoch in facts["progress"]["history"]]
    assert scores[1] > scores[0] and facts["progress"]["best_epoch"] > 2
    assert len(result["kills"]) == 20
    assert result["differences"] and not any(result["differences"])
    assert any(moment.startswith("writing") for moment, _ in result["kills"])
