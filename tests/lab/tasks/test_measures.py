"""What the scores of the classic tasks count as right, on predictions that are known; and that a goal ends a run."""

import json
import types

import numpy as np
import pytest

from benchmarks import abilities
from lab.progress import Progress
from lab.tasks import memorise, ocr, reber
from lab.tasks.transduction import NOTHING
from tests.tiny import call, recipe


def predicting(monkeypatch, task, found):
    """A task whose model predicts `found`, or what that makes of its inputs."""
    predict = found if callable(found) else lambda x: found
    monkeypatch.setattr(type(task), "predict", lambda self, model, x: predict(x))
    return task


def one_hot(numbers, size):
    return np.eye(size)[numbers]


def test_digits_right_are_those_of_the_last_row(monkeypatch):
    y = np.array([3, 1, 4, 1])
    rows = np.stack([one_hot([0, 0, 0, 0], 10), one_hot([3, 1, 4, 5], 10)], 1)
    task = predicting(monkeypatch, recipe("mnist"), rows)
    assert task.measures(None, types.SimpleNamespace(test=(None, y)), "test") == {"accuracy": 0.75}


def test_a_row_is_right_if_all_of_it_is(monkeypatch):
    task = recipe("copy")
    y = np.array([[1, 2, 3], [1, 2, NOTHING], [2, 2, 2], [3, 1, 2]])
    found = np.array([[1, 2, 3], [1, 2, 9], [2, 2, 1], [3, 1, 2]])
    monkeypatch.setattr(type(task), "answers", lambda self, model, x, steps: found)
    assert task.right(None, None, y) == 0.75


def test_success_in_reber_is_every_symbol_of_both_splits(monkeypatch):
    task = predicting(monkeypatch, recipe("reber"), None)
    data = types.SimpleNamespace(train=(None, "train"), test=(None, "test"))
    all_right, one_wrong = np.array([[1.0, 1.0], [1.0, np.nan]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    for train, test, success, share in ((all_right, one_wrong, 0, 6 / 7), (all_right, all_right, 1, 1)):
        rights = {"train": train, "test": test}
        monkeypatch.setattr(reber, "right", lambda logits, y, rights=rights: rights[y])
        found = task.measures(None, data, "test")
        assert found == {"right": pytest.approx(share), "success": success}
        assert task.reached(found) == bool(success)


def test_unseen_strings_are_of_another_font(monkeypatch):
    task, drawn = recipe("ocr"), []

    def examples(self, rng, count, split, fonts=ocr.FONTS):
        drawn.append(fonts)
        return ["unseen"] * count, None

    monkeypatch.setattr(type(task), "examples", examples)
    monkeypatch.setattr(type(task), "right", lambda self, model, x, y: {"unseen": 0.25, "seen": 0.5}[x[0]])
    data = types.SimpleNamespace(test=(["seen"], None), valid=(["seen"], None))
    assert task.measures(None, data, "test") == {"right": 0.5, "right_unseen": 0.25}
    assert drawn == [ocr.UNSEEN]


def test_the_error_at_double_length(monkeypatch):
    task = recipe("add", steps=6)

    def sums(x):
        assert x.shape[1] == 12
        return (x[..., 0] * x[..., 1]).sum(1) + 0.5

    task = predicting(monkeypatch, task, sums)
    assert task.measures(None, None, "test") == {"at_double": pytest.approx(0.25, abs=1e-5)}


@pytest.mark.parametrize(
    "drawn, steps, right", [("parity", 7, 1.0), ("S3", 7, 1.0), ("noise", 9, 1.0), ("copy", 25, 0.9)]
)
def test_an_ability_is_asked_for_at_its_last_step_alone_unless_all_are_to_be_copied(monkeypatch, drawn, steps, right):
    classes = {"parity": 2, "S3": 6, "noise": 2, "copy": 8}[drawn]
    _, y = abilities.DRAWN[drawn](np.random.default_rng(0), abilities.TESTED, steps)
    known = one_hot(np.maximum(y, 0), classes)
    first = -10 if drawn == "copy" else steps - 2
    known[:, first] = np.roll(known[:, first], 1, -1)  # a wrong answer
    task = predicting(
        monkeypatch, abilities.Ability(drawn=drawn, classes=classes, steps=steps, **abilities.SHARED), known
    )
    assert task.tested(None, np.random.default_rng(0), steps) == pytest.approx(right)


def test_the_end_of_a_run():
    task = recipe("reber")
    assert Progress().end(task) == ""
    assert Progress(epoch=1, best_epoch=1, history=[{"success": 0.0}]).end(task) == ""
    assert Progress(epoch=1, best_epoch=1, history=[{"success": 1.0}]).end(task) == "the goal is reached"


@pytest.mark.slow
def test_a_run_ends_with_its_goal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = "numbers --units 3 --epochs 3 --train_examples 5 --count 3 --features 4 --out"
    for goal, epochs in ((0.0, 3), (np.inf, 1)):
        monkeypatch.setattr(memorise, "GOAL", goal)
        code, out, err = call(f"{line} {epochs}")
        assert code == 0, err
        assert json.loads(out.splitlines()[-1])["epochs"] == epochs
