"""The classic tasks: their runs at a tiny size, with any cell, and what they refuse."""

import json
import os
import signal

import numpy as np
import pytest

import tfcells
from lab.fields import InputError
from lab.learner import Learner
from lab.options import parse, settle
from lab.recipe import fields
from lab.run import load
from recipes import TARGETS, classics
from tests.tiny import call, recipe

pytestmark = pytest.mark.slow

SMALL = {
    "reber": "--units 4 --epochs 2 --train_examples 8 --test_examples 6 --batch_size 4",
    "waveform": "--units 3 --epochs 2 --samples 40 --steps 20 --train_examples 3",
    "sine": "--units 3 --epochs 2 --train_examples 8 --valid_examples 4 --test_examples 4 --batch_size 4 --steps 30",
    "numbers": "--units 3 --epochs 2 --train_examples 5 --count 3 --features 4",
    "copy": "--units 3 --epochs 2 --train_examples 8 --valid_examples 4 --test_examples 4 "
    "--batch_size 4 --symbols 3 --shortest 1 --longest 3 --embedding_units 2 --attention_units 2",
    "add": "--units 3 --epochs 2 --train_examples 8 --valid_examples 4 --test_examples 4 --batch_size 4 --steps 6",
    "mnist": "--corpus digits --units 3 --epochs 2 --train_examples 40 --valid_examples 10 "
    "--test_examples 100 --batch_size 20",
    "ocr": "--units 3 --epochs 2 --train_examples 8 --valid_examples 2 --test_examples 4 "
    "--batch_size 4 --filters 2 --embedding_units 2 --attention_units 2 --beam 2 --longest 3",
}


def test_every_task_has_a_small_run():
    """Sorting and reversing are copying's network."""
    assert set(classics.TARGETS) - {"reverse", "sort"} == set(SMALL)


@pytest.mark.parametrize("target", SMALL)
def test_layers_are_more_of_them(target):
    assert recipe(target, layers=2).parameters() > recipe(target).parameters()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line):
    code, out, err = call(line)
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("target", SMALL)
def test_a_run_leaves_everything(target, place):
    result = run(f"{target} {SMALL[target]} --out one")
    assert result["target"] == target and result["epochs"] == 2
    for name in ("picture.png", "learning_curve.png", "model.keras", "result.json"):
        assert (place / "one" / name).stat().st_size > 0
    for split in ("train", "valid", "test"):
        score = next(v for k, v in result.items() if k.startswith(f"{split}_"))
        assert np.isfinite(score)
    again = run(f"{target} {SMALL[target]} --out one --resume")
    assert {k: v for k, v in again.items() if "second" not in k} == {
        k: v for k, v in result.items() if "second" not in k
    }
    found = run("evaluate one")
    (name,) = (k for k in result if k.startswith("test_"))
    assert found[name] == pytest.approx(result[name], rel=1e-6)
    code, out, err = call("compare one")
    head, _, row = ([cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines())
    row = dict(zip(head, row))
    assert code == 0 and row["test"] == f"{result['test_loss']:.4g}"
    assert (row["run"], row["corpus"]) == ("one", result["corpus"])
    assert f"{result['unit']}_per_second" in result
    for line in ("generate one", "evaluate one --temperature 0.9", "evaluate one --tune"):
        code, _, err = call(line)
        assert code == 2 and "language model" in err


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_measure_that_is_not_finite(value, place, monkeypatch):
    """It ends no run; where it is kept it is null."""
    monkeypatch.setattr("lab.tasks.sine.Sine.measures", lambda *_: {"alone": value, "one_step": 0.5})
    result = run(f"sine {SMALL['sine']} --epochs 1 --engine eager --out one")
    assert result["metrics"]["alone"] is None and result["metrics"]["one_step"] == 0.5
    assert f"alone {value}, one_step 0.5" in (place / "one" / "log.txt").read_text()
    (epoch,) = load(place / "one" / "checkpoint.npz")[1]["progress"]["history"]
    assert epoch["one_step"] == 0.5 and "alone" not in epoch
    assert run("evaluate one")["alone"] is None


@pytest.mark.parametrize("target", SMALL)
def test_the_steps_of_an_epoch(target):
    """As many as there are are taken, and not one more."""
    small = dict(zip(*[iter(SMALL[target].replace("--", "").split())] * 2))
    corpus = small.pop("corpus", "auto")
    task = recipe(target, **small)
    steps = len(task.batches(task.load(corpus, None)))
    every = task.replace(steps_per_epoch=str(steps))
    assert len(every.batches(every.load(corpus, None))) == steps
    with pytest.raises(InputError, match=f"steps_per_epoch={steps + 1}: an epoch has only {steps} steps"):
        task.replace(steps_per_epoch=str(steps + 1)).load(corpus, None)


def test_other_digits_than_those_of_the_run():
    task = recipe("mnist")
    with pytest.raises(InputError, match=r"--corpus digits: its images are \(8, 8\), the run's \(28, 28\)"):
        task.load("digits", None, task.recall(None))


def test_strings_of_any_end_are_drawn(monkeypatch):
    """An untrained network may end at once, or never."""
    task = recipe("ocr", **dict(zip(*[iter(SMALL["ocr"].replace("--", "").split())] * 2)))
    data = task.load("auto", None)
    answers = np.array([[task.symbols + 1, 0, 0, 0], [1, task.symbols + 1, 0, 0], [1, 2, 3, 4]])
    monkeypatch.setattr(type(task), "answers", lambda self, model, x, steps: answers)
    figure = task.figure(task.build(data), data)
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "", "a", "", "a", "b", "c"]


@pytest.mark.parametrize("target", ["reber", "sine"])
def test_a_seed_decides_everything(target, place):
    first, second, other = (
        run(f"{target} {SMALL[target]} --epochs 1 --engine eager --seed {seed} --out {number}")
        for number, seed in enumerate((3, 3, 4))
    )
    (name,) = (k for k in first if k.startswith("train_"))
    assert first[name] == second[name] != other[name]


def test_another_cell(place):
    run(f"reber {SMALL['reber']} --epochs 1 --cell ClockworkRNNCell")


@pytest.mark.parametrize(
    "line, culprit",
    [
        ("reber --cell LSTN", "cell"),
        ("reber --corpus ptb", "corpus"),
        ("reber --batch_size 300", "batch_size"),
        ("reber --valid_examples 2", "valid_examples"),
        ("add --steps 1", "steps"),
        ("add --steps_per_epoch 1000", "steps_per_epoch=1000: an epoch has only 200 steps"),
        ("mnist --corpus digits --steps_per_epoch 1000", "steps_per_epoch=1000: an epoch has only"),
        ("sine --steps 25", "steps"),
        ("ocr --symbols 5", "symbols"),
        ("ocr --longest 9", "longest"),
        ("ocr --shortest 9", "shortest"),
        ("mnist --corpus digits --train_examples 10", "train_examples"),
        ("waveform --samples 100 --steps 30", "steps"),
        ("waveform --batch_size 2", "batch_size"),
        ("copy --shortest 9 --longest 3", "shortest"),
        ("copy --kind turn", "kind"),
        ("mnist --corpus ptb", "corpus"),
        ("mnist --corpus digits --valid_examples 5000", "valid_examples"),
        ("mnist --corpus mnist --data_dir nowhere", "data_dir"),
        ("sine --wave square", "wave"),
        ("sine --engine numpy", "numpy"),
        ("numbers --engine numpy --cell GRUCell", "cell"),
    ],
)
def test_bad_values_are_refused_by_name(line, culprit, place):
    code, _, err = call(line)
    assert code == 2 and culprit in err.splitlines()[-1]
    assert not (place / "runs").exists()


@pytest.mark.parametrize("target", SMALL)
def test_any_small_value_will_do_or_is_refused_by_name(target):
    options, overrides = parse(f"{target} {SMALL[target]}".split(), TARGETS)
    for field in fields(recipe(target)):
        for value in ("1", "2", "30"):
            try:
                task, settings, _ = settle(options, overrides | {field: value}, TARGETS)
                data = task.load(settings["corpus"], None)
            except InputError as error:
                assert field in str(error)
            else:
                assert len(task.batches(data)) > 0 and len(task.evaluation(data, "valid")) > 0


@pytest.mark.parametrize("target", SMALL)
def test_any_cell_has_its_network(target):
    """With all its units, of which a Clockwork RNN's periods have to be a divisor. Of most tasks a few cells do."""
    few = "LSTMCell", "ClockworkRNNCell", "MinGRUCell", "ResidualLSTMCell"
    for cell in tfcells.CELLS if target in ("reber", "copy") else few:
        task = recipe(target, cell=cell)
        model = task.outline(task.recall(None))
        layers = [layer for layer in model._flatten_layers() if isinstance(layer, tfcells.RNN)]
        for layer in layers:
            inner = layer.cell
            while type(inner).__name__ != cell and hasattr(inner, "cell"):
                inner = inner.cell
            assert type(inner).__name__ == cell and inner.units == task.units
        assert layers


@pytest.mark.parametrize("target", ["waveform", "sine"])
def test_a_stopped_task_ends_like_the_unbroken_one(target, place, monkeypatch):
    """Within its second epoch, with a state that is carried, or examples of that epoch's own."""
    line, steps, before = f"{target} {SMALL[target]}", [], Learner.train

    def train(*arguments):
        steps.append(1)
        if len(steps) == (10 if target == "waveform" else 3):
            os.kill(os.getpid(), signal.SIGINT)
        return before(*arguments)

    assert call(f"{line} --out unbroken")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "train", train)
        assert call(f"{line} --out broken")[0] == 130
    assert call(f"{target} --resume --out broken")[0] == 0
    one, other = (load(place / name / "checkpoint.npz")[0] for name in ("broken", "unbroken"))
    assert one.keys() == other.keys()
    for key in one.keys() - {"step_seconds"}:
        np.testing.assert_array_equal(one[key], other[key])
