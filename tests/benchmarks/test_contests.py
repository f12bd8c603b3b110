"""The league and the abilities: rows at equal parameters that go on where they stopped, and what is told of them."""

import dataclasses
import itertools
import json
import types

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import abilities, contest, league, report
from lab.fields import InputError
from tests import tiny

RNG = np.random.default_rng(0)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Reports and the page in a folder of the test's own."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(contest, "PAGE", tmp_path / "choose.md")
    (tmp_path / "choose.md").write_text("A\n<!-- x -->\n\nold\n\n<!-- end of x -->\nB\n")
    return tmp_path / "results"


@pytest.mark.parametrize("cell", ["LSTMCell", "EchoStateCell", "MLSTMCell"])
@pytest.mark.slow
def test_units_for_a_budget_of_all_weights(cell):
    corpus = tiny.random_corpus()

    def count(recipe):
        return sum(np.prod(weight.shape) for weight in recipe.outline(corpus).weights)

    recipe, parameters = contest.fitted(contest.with_cell(tiny.TINY, cell, contest.HEADS), corpus, 3000)
    heads = recipe.cell_arguments.get("heads", 1)
    assert recipe.units % heads == 0 and parameters == count(recipe) <= 3000
    assert count(dataclasses.replace(recipe, units=recipe.units + heads)) > 3000
    with pytest.raises(InputError, match=f"--budget: must be at least .* for {cell}"):
        contest.fitted(recipe, corpus, 10)


@pytest.mark.slow
def test_every_cell_has_a_place_at_the_default_budgets():
    """In the tasks with the most features and with one."""
    for cell in ("HyperLSTMCell", "CfCCell", "SRUCell", "NASCell"):
        for task in ("copy", "noise"):
            recipe = contest.with_cell(abilities.TASKS[task][0], cell, abilities.UNUSUAL)
            _, parameters = contest.fitted(recipe, recipe.recall(None), abilities.BUDGET)
            assert 0.9 * abilities.BUDGET < parameters <= abilities.BUDGET


def test_parity_and_permutations():
    x, y = abilities.parity(RNG, 5, 7)
    assert x.shape == (5, 7, 2) and (y[:, 0] == abilities.UNASKED).all()
    assert all(y[row, t] == x[row, : t + 1, 1].sum() % 2 for row in range(5) for t in range(1, 7))
    x, y = abilities.permutations(RNG, 5, 7)
    for row, t in itertools.product(range(5), range(1, 7)):
        things = "abc"
        for number in x[row, : t + 1].argmax(-1):  # each permutation puts thing ORDERS[number][n] at place n
            things = "".join(things[n] for n in abilities.ORDERS[number])
        assert things == "".join("abc"[n] for n in abilities.ORDERS[y[row, t]])


def test_copy_and_noise():
    x, y = abilities.copy(RNG, 5, 25)
    assert (x[:, :10].argmax(-1) == y[:, -10:]).all() and (y[:, :-10] == abilities.UNASKED).all()
    assert (x[:, 10:15].argmax(-1) == 8).all() and (x[:, 15:].argmax(-1) == 9).all()
    x, y = abilities.noise(RNG, 500, 20)
    assert (x[:, :3, 0] == 2 * y[:, -1:] - 1).all() and (y[:, :-1] == abilities.UNASKED).all()
    assert x[:, 3:].var() == pytest.approx(0.2, rel=0.05)


def test_regularizers_of_the_league_suit_the_cell():
    data = tiny.random_corpus()
    for cell, without in {"LSTMCell": [], "MinGRUCell": ["state_dropout"], league.KEPT: [*league.SLOTS]}.items():
        recipe, _ = league.recipe_of(cell, data, 2_000_000)
        assert [name for name in league.SLOTS if not getattr(recipe, name)] == without, cell


def test_the_quietest_steps_count(tmp_path, monkeypatch):
    """Blocks in which other work slows the steps change neither the pace nor the time that is left."""
    monkeypatch.setattr(league, "BLOCK", 2)
    progress = types.SimpleNamespace(step=0, step_seconds=[])
    clock = league.Clock(tmp_path / "blocks.json", progress, seconds=5.0)
    shares = itertools.cycle([0.5, 0.0])
    monkeypatch.setattr(league, "others", lambda *_: next(shares))

    def steps(seconds):
        for _ in range(2):
            progress.step += 1
            progress.step_seconds.append(seconds)
            clock.check()

    steps(9.0)  # these compile
    assert not clock.blocks
    for _ in range(10):
        steps(0.5)
        steps(0.1)
    assert clock.pace() == (0.1, 0.0) and not clock.is_up() and progress.step == 42
    again = league.Clock(tmp_path / "blocks.json", progress, seconds=4.0)
    assert again.blocks == clock.blocks and again.is_up()
    clock.seconds = 4.3
    with pytest.raises(league.TimeUp):
        steps(0.5)
    clock = league.Clock(None, progress, most=1)
    steps(9.0)
    with pytest.raises(league.TimeUp):
        steps(0.5)


def test_the_share_of_others(monkeypatch):
    monkeypatch.setattr(league.os, "cpu_count", lambda: 2)
    assert league.others((10.0, 1.0, 100.0), (20.0, 13.0, 115.0)) == pytest.approx(0.15)
    assert league.others((10.0, 1.0, 0.0), (20.0, 13.0, 0.0)) == 0


def test_who_is_ahead():
    rows = {
        name: {"valid_perplexity": score, "words_per_second": speed, "processor": "one", "epoch": 1.0}
        for name, score, speed in [("a", 90.0, 10.0), ("b", 100.0, 9.0), ("c", 110.0, 30.0), ("d", 120.0, 20.0)]
    }
    told = {"rows": rows}
    assert league.unsuited(told) == []
    told["rows"] |= {"e": {"diverged": "at once"}, "f": rows["d"] | {"valid_perplexity": 700.0, "epoch": 0.2}}
    assert league.front(told) == ["a", "c"]
    assert "(above 500): f (epoch 0.20), e (diverged). The one recipe" in league.unsuited(told)[0]
    assert league.untimed(told) == []
    told["rows"]["g"] = {"valid_perplexity": 80.0, "words_per_second": 99.0, "processor": "two"}
    assert league.front(told) == ["a", "c"] and "not timed yet on that of the others: g." in league.untimed(told)[0]


def test_the_page_is_told(results):
    for _ in range(2):
        contest.tell("x", ["one", "two"])
        assert contest.PAGE.read_text() == "A\n<!-- x -->\n\none\ntwo\n\n<!-- end of x -->\nB\n"
    with pytest.raises(ValueError, match="y"):
        contest.tell("y", [])


SMALL = tiny.TINY.replace(steps="2", batch_size="2", epochs="1", state_dropout="0.1", recurrent_dropout="0.1")


@pytest.mark.slow
def test_the_league_goes_on(tmp_path, monkeypatch, results, capsys):
    """What is stopped goes on from its checkpoint; what is done is not done again, even if only its report is left."""
    monkeypatch.setattr(league, "BASE", SMALL)
    monkeypatch.setattr(league, "BLOCK", 3)
    monkeypatch.setattr(contest, "in_a_fresh_process", lambda function, *arguments: function(*arguments))
    validate = league.mean_loss
    monkeypatch.setattr(league, "mean_loss", lambda *_: 1 / 0)
    tiny.write_corpus(tmp_path / "text")
    line = ["league", "--corpus", str(tmp_path / "text"), "--budget", "700", "--runs", str(tmp_path / "runs")]
    line += ["--only", "LSTMCell", "MinGRUCell"]
    assert benchmarks.main(line) == 1
    assert "LSTMCell: division by zero" in capsys.readouterr().err and not results.exists()
    monkeypatch.setattr(league, "mean_loss", validate)
    steps_of, trained = league.Training.steps, []  # all steps were done before
    monkeypatch.setattr(league.Training, "steps", lambda self, name, *_: trained.append((name, self.progress.step)))
    assert benchmarks.main(line) == 1  # other cells are missing
    told = json.loads((results / "league-partial.json").read_text())
    steps = {name: row["steps"] for name, row in told["rows"].items()}
    assert dict(trained) == steps and min(steps.values()) > 10
    lstm, gru = (told["rows"][name] for name in ("LSTMCell", "MinGRUCell"))
    assert lstm["without"] == [] and gru["without"] == ["state_dropout"]
    assert not lstm["linear"] and gru["linear"] and lstm["words_per_second"] > 0 and lstm["epoch"] == 1
    text = (results / "league-partial.md").read_text()
    assert "| LSTMCell | LSTM |" in text and "Not done yet: ATRCell, " in text
    assert (results / "league-partial.png").stat().st_size > 1000
    assert f"2 of {len(contest.CELLS)} cells" in league.page(told)[0]
    trained.clear()
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert benchmarks.main(line) == 1 and not trained
    monkeypatch.setattr(league.Training, "steps", steps_of)
    path = results / "league-partial.json"
    path.write_text(
        json.dumps(told | {"rows": {"LSTMCell": lstm | {"others": 0.9}, "MinGRUCell": gru | {"others": 0.3}}})
    )
    monkeypatch.setattr(league, "others", lambda *_: 0.5)
    assert benchmarks.main([*line, "--again"]) == 1
    rows = json.loads(path.read_text())["rows"]
    assert rows["MinGRUCell"] == gru | {"others": 0.3}  # no quieter
    assert rows["LSTMCell"]["others"] == 0.5 and rows["LSTMCell"]["words_per_second"] != lstm["words_per_second"]
    assert rows["LSTMCell"]["valid_perplexity"] == lstm["valid_perplexity"]
    others = {"LSTMCell": lstm | {"processor": "another"}, "MinGRUCell": gru | {"processor": "another", "others": 0.3}}
    where = told["machine"] | {"processor": "another"}
    path.write_text(json.dumps(told | {"rows": others, "machine": where}))
    assert benchmarks.main([*line, "--runs", str(tmp_path / "new"), "--again", "--only", "MinGRUCell"]) == 1
    found = json.loads(path.read_text())
    assert found["rows"]["LSTMCell"] == others["LSTMCell"]
    assert found["rows"]["MinGRUCell"]["processor"] == report.processor()  # though no quieter
    assert found["machine"] == where  # of the first of two that are as frequent
    assert "not timed yet on that of the others: MinGRUCell." in (results / "league-partial.md").read_text()
    assert benchmarks.main([*line, "--budget", "800", "--runs", str(tmp_path / "others")]) == 1
    told = json.loads((results / "league-partial.json").read_text())
    assert told["settings"]["budget"] == 800 and {*told["rows"]} == {"LSTMCell", "MinGRUCell"}


def test_no_league_without_a_corpus(tmp_path, capsys):
    assert benchmarks.main(["league", "--data_dir", str(tmp_path / "nowhere")]) == 2
    assert "skipped, there is no corpus" in capsys.readouterr().err


@pytest.mark.slow
def test_abilities_are_told(tmp_path, monkeypatch, results, capsys):
    """The best cell, here one, has three seeds."""
    monkeypatch.setattr(abilities, "BEST", 1)
    line = ["abilities", "--seconds", "0.05", "--runs", str(tmp_path / "runs"), "--task", "parity"]
    assert benchmarks.main([*line, "--only", "ElmanCell", "MinGRUCell"]) == 1
    told = json.loads((results / "abilities-partial.json").read_text())
    first = {cell: told["rows"][f"parity/{cell}/1"] for cell in ("ElmanCell", "MinGRUCell")}
    best = min(first, key=lambda cell: (*(-first[cell]["found"][n] for n in ("160", "40")), first[cell]["loss"]))
    assert set(told["rows"]) == {*(f"parity/{cell}/1" for cell in first), *(f"parity/{best}/{n}" for n in (2, 3))}
    for row in told["rows"].values():
        assert row["parameters"] <= abilities.BUDGET and row["steps"] > 1 and set(row["found"]) == {"40", "160"}
    text = (results / "abilities-partial.md").read_text()
    assert "| MinGRUCell | minimal | yes |" in text
    assert f"Not done yet, S3: {len(contest.CELLS)} trainings" in text
    first, *_, last = abilities.page(told)
    assert "parity, 160 steps: solved by " in first and last == "- Not measured yet: S3, adding, copy, noise."
    capsys.readouterr()
    assert benchmarks.main([*line, "--only", "ElmanCell"]) == 1
    assert "parity/" not in capsys.readouterr().out  # nothing is trained twice
    path = results / "abilities-partial.json"
    told["machine"]["processor"] = "another"
    path.write_text(json.dumps(told))
    with pytest.raises(SystemExit):
        benchmarks.main(line)
    assert "of a machine with another, this one has" in capsys.readouterr().err and json.loads(path.read_text()) == told
