"""The classic tasks: their data, what they measure, and their runs at a tiny size."""

import contextlib
import gzip
import itertools
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfcells
from data import CorpusError
from data.mnist import source as mnist_source
from data.reber import reber_dataset_builder
from data.reber import source as reber_source
from lab.cells import CellName
from lab.fields import InputError
from lab.learner import Learner
from lab.options import parse, settle
from lab.recipe import fields
from lab.run import load
from lab.tasks import digits, ocr, reber, transduction, waveform
from recipes import TARGETS, classics
from tests.tiny import call

SMALL = {
    "reber": "--units 4 --epochs 2 --train_examples 8 --test_examples 6 --batch_size 4",
    "waveform": "--units 3 --epochs 2 --samples 40 --steps 20 --train_examples 3",
    "sine": "--units 3 --epochs 2 --train_examples 8 --valid_examples 4 --test_examples 4 "
    "--batch_size 4 --steps 30",
    "numbers": "--units 3 --epochs 2 --train_examples 5 --count 3 --features 4",
    "copy": "--units 3 --epochs 2 --train_examples 8 --valid_examples 4 --test_examples 4 "
    "--batch_size 4 --symbols 3 --shortest 1 --longest 3 --embedding_units 2 --attention_units 2",
    "add": "--units 3 --epochs 2 --train_examples 8 --valid_examples 4 --test_examples 4 "
    "--batch_size 4 --steps 6",
    "mnist": "--corpus digits --units 3 --epochs 2 --train_examples 40 --valid_examples 10 "
    "--test_examples 100 --batch_size 20",
    "ocr": "--units 3 --epochs 2 --train_examples 8 --valid_examples 2 --test_examples 4 "
    "--batch_size 4 --filters 2 --embedding_units 2 --attention_units 2 --beam 2 --longest 3",
}


def recipe(target, **values):
    return next(iter(TARGETS[target].values())).recipe.replace(
        **{name: str(value) for name, value in values.items()}
    )


def test_every_task_has_a_small_run():
    """Sorting and reversing are copying's network."""
    assert set(classics.TARGETS) - {"reverse", "sort"} == set(SMALL)


def test_every_cell_can_be_named():
    assert set(CellName.__metadata__[0].names) == set(tfcells.CELLS)


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
    code, _, err = call("generate one")
    assert code == 2 and "language model" in err


@pytest.mark.parametrize("target", ["reber", "sine"])
def test_a_seed_decides_everything(target, place):
    first, second, other = (
        run(f"{target} {SMALL[target]} --seed {seed} --out {number}")
        for number, seed in enumerate((3, 3, 4))
    )
    (name,) = (k for k in first if k.startswith("train_"))
    assert first[name] == second[name] != other[name]


@pytest.mark.parametrize("cell", ["ClockworkRNNCell", "GRUCell", "HyperLSTMCell"])
def test_any_cell(cell, place):
    run(f"reber {SMALL['reber']} --epochs 1 --cell {cell}")


@pytest.mark.parametrize(
    "line, culprit",
    [
        ("reber --cell LSTN", "cell"),
        ("reber --corpus ptb", "corpus"),
        ("reber --batch_size 300", "batch_size"),
        ("reber --valid_examples 2", "valid_examples"),
        ("add --steps 1", "steps"),
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
    """With all its units, of which a Clockwork RNN's periods have to be a divisor."""
    for cell in tfcells.CELLS:
        task = recipe(target, cell=cell)
        model = task.build(task.recall(None))
        layers = [layer for layer in model._flatten_layers() if isinstance(layer, tfcells.RNN)]
        for layer in layers:
            inner = getattr(layer.cell, "cell", layer.cell)
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


# The embedded Reber grammar.


def walks(length):
    """All strings of the grammar of that length, from a table of their own."""
    after = {
        "a": [("B", "b")],
        "b": [("T", "c"), ("P", "d")],
        "c": [("S", "c"), ("X", "e")],
        "d": [("T", "d"), ("V", "f")],
        "e": [("X", "d"), ("S", "g")],
        "f": [("P", "e"), ("V", "g")],
        "g": [("E", "")],
    }
    paths = [("", "a")]
    for _ in range(length - 4):
        paths = [(s + symbol, new) for s, node in paths if node for symbol, new in after[node]]
    return {f"B{o}{s}{o}E" for s, node in paths if not node for o in "TP"}


def test_reber_strings_are_the_grammars():
    drawn = set(reber_source.draw_different(np.random.default_rng(0), 300))
    for length in range(9, 13):
        strings = walks(length)
        assert {string for string in drawn if len(string) == length} <= strings
        for string in strings:
            following = [
                {other[n] for other in walks_with(string[:n], length) if len(other) > n}
                for n in range(1, length)
            ]
            assert [set(legal) for legal in reber_source.legal(string)] == following


def walks_with(start, length):
    return {s for n in range(9, length + 8) for s in walks(n) if s.startswith(start)}


@pytest.mark.parametrize(
    "string", ["", "B", "BTBTSXSEPE", "BTBTSXSETEE", "BTBTXXSETE", "XTBTXSETE"]
)
def test_other_strings_are_not(string):
    with pytest.raises(ValueError, match="grammar"):
        reber_source.legal(string)


def test_reber_builder(tmp_path):
    config = reber_dataset_builder.Config(name="seed_7", seed=7)
    built = reber_dataset_builder.Builder(config=config, data_dir=tmp_path)
    built.download_and_prepare()
    splits = {split: list(tfds.as_numpy(built.as_dataset(split))) for split in built.info.splits}
    assert {split: len(rows) for split, rows in splits.items()} == reber_dataset_builder.COUNTS
    name = built.info.features["symbols"].feature.int2str
    strings = ["".join(map(name, row["symbols"])) for rows in splits.values() for row in rows]
    assert len(set(strings)) == len(strings)
    data = recipe("reber", data_seed=7).load("auto", None)
    for split, encoded in (("train", data.train), ("validation", data.test)):
        for row, x in zip(splits[split], encoded[0], strict=True):
            assert list(x[x.any(-1)].argmax(-1)) == list(row["symbols"][:-1])
    first = splits["train"][0]
    assert [text.decode() for text in first["legal"]] == reber_source.legal(strings[0])


def test_reber_success_is_the_papers():
    """All legal symbols more active than all others, after every symbol of every string."""
    x, y = reber.encode(["BTBTXSETE", "BPBPVVEPE"])
    assert (x.argmax(-1)[0] == [0, 1, 0, 1, 4, 3, 6, 1]).all() and (y[0, :, 0] >= 0).all()
    best = np.where(y[..., 1:] == 1, 1.0, -1.0)
    assert np.nanmin(reber.right(best, y)) == 1
    wrong = best.copy()
    wrong[1, 2, 0] = 1.0  # as active as the legal ones
    assert np.nansum(reber.right(wrong, y) == 0) == 1
    task = recipe("reber")
    data = task.load("auto", None)
    strings = [tuple(map(tuple, row)) for split in (data.train, data.test) for row in split[0]]
    assert len(set(strings)) == task.train_examples + task.test_examples


# Waves.


def test_the_signal_of_the_waveform():
    f = waveform.signal(320)
    assert abs(f.mean()) < 1e-6
    t = 0.01 * np.arange(320)
    waves = (f(a * t) for a in (2, 17, 25, 45) for f in (np.sin, np.cos))
    basis = np.stack([*waves, np.ones(320)], 1)
    coefficients, *_ = np.linalg.lstsq(basis, f, rcond=None)
    np.testing.assert_allclose(basis @ coefficients, f, atol=1e-5)
    slow, *_ = np.linalg.lstsq(basis[:, [0, 1, 8]], f, rcond=None)
    left = np.mean((basis[:, [0, 1, 8]] @ slow - f) ** 2) / f.var()
    assert 0.015 < left < 0.022


def test_waveform_begins_anew_and_carries_its_state(place):
    task = recipe("waveform", units=3, samples=40, steps=20, train_examples=2)
    data = task.load("auto", None)
    model = task.build(data)
    (x1, y1), (x2, y2), *_ = [(x, y) for x, y in task.batches(data)]
    noise = [tf.ones_like(s) for s in task.initial_state(model, 1)]
    first, state = task.losses(model, x1, y1, noise)
    second, _ = task.losses(model, x2, y2, state)
    whole, _ = task.losses(model, *map(tf.constant, data.test), task.initial_state(model, 1))
    np.testing.assert_allclose((first + second) / 2, whole, rtol=1e-4)
    fresh, _ = task.losses(model, x2, y2, noise)
    assert abs(float(fresh[0] - second[0])) > 1e-6


def test_a_wave_goes_on_alone():
    """With a model that adds a constant, what it makes is a line."""
    task = recipe("sine")
    model = lambda given: [given[0] + 0.5]  # noqa: E731
    task_alone = type(task).alone
    found = task_alone(Standing(), model, np.zeros((2, 4, 1), "float32"), 3)
    np.testing.assert_allclose(found[..., 0], [[0.5, 1.0, 1.5]] * 2)


class Standing:
    def initial_state(self, model, batch_size):
        return []


# Digits.


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype("u1").tobytes()


def write_mnist(folder, images, labels, stem="t10k"):
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))


def test_digits_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (100, 28, 28)), rng.integers(0, 10, 100)
    write_mnist(tmp_path / "m", images, labels)
    task = recipe("mnist", valid_examples=20, batch_size=10)
    data = task.load("mnist", str(tmp_path / "m"))
    assert [len(split[0]) for split in (data.train, data.valid, data.test)] == [70, 20, 10]
    np.testing.assert_allclose(data.test[0] * 255, images[90:], atol=1e-3)
    np.testing.assert_array_equal(data.test[1], labels[90:])
    write_mnist(tmp_path / "m", images[:40], labels[:40], "train")
    data = task.load("mnist", str(tmp_path / "m"))
    assert [len(split[0]) for split in (data.train, data.valid, data.test)] == [20, 20, 100]


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x03\0\0", b"\0\0\x0d\1" + b"\0" * 9, b"x" * 99]
)
def test_a_damaged_idx_file_is_named(tmp_path, content):
    write_mnist(tmp_path / "m", np.zeros((20, 28, 28)), np.zeros(20))
    path = tmp_path / "m" / "t10k-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=path.name):
        mnist_source.read_folder(tmp_path / "m")


def test_a_damaged_gzip_file_is_named(tmp_path):
    write_mnist(tmp_path / "m", np.zeros((20, 28, 28)), np.zeros(20))
    path = tmp_path / "m" / "t10k-labels-idx1-ubyte"
    whole = gzip.compress(path.read_bytes())
    path.unlink()
    path = path.with_name(f"{path.name}.gz")
    assert mnist_source.read_idx(written(path, whole)).shape == (20,)
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
        with contextlib.suppress(CorpusError):  # the flags of a header may not matter
            assert mnist_source.read_idx(written(path, damaged)).shape == (20,)
    with pytest.raises(CorpusError, match=path.name):
        mnist_source.read_idx(written(path, whole[:14]))


def written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rows", [[[28], [28]], [9, 9], [28], {}, "28", None, [True, 8]])
def test_sizes_of_digits_that_cannot_be(rows):
    task = recipe("mnist")
    with pytest.raises(InputError, match="rows.json: damaged"):
        task.recall(lambda name: rows)
    assert task.recall(lambda name: [8, 8]).train[0].shape == (1, 8, 8)


def test_digits_stay_in_sight():
    with pytest.raises(InputError, match="shift=101: must be at most 100"):
        recipe("mnist", shift=101)


def test_digits_move_within_their_frame():
    task = recipe("mnist", batch_size=5, valid_examples=5, shift=12, train_examples=10)
    image = np.zeros((10, 8, 8), "float32")
    image[:, 4, 4] = 1
    data = digits.Examples("x", (image, np.arange(10)), None, None)
    moved = np.concatenate([x for x, _ in task.batches(data)])
    where = {tuple(int(n) - 4 for n in np.argwhere(x)[0]) for x in moved}
    assert all(x.sum() == 1 for x in moved)
    assert where <= set(itertools.product((-1, 0, 1), repeat=2)) and len(where) > 3


def test_an_epoch_of_digits_goes_round():
    task = recipe("mnist", batch_size=5, train_examples=25, shift=0)
    data = digits.Examples("x", (np.zeros((10, 8, 8), "float32"), np.arange(10)), None, None)
    drawn = np.concatenate([y for _, y in task.batches(data)])
    assert len(drawn) == 25 and set(np.bincount(drawn, minlength=10)) == {2, 3}


# Sequence to sequence.


@pytest.mark.parametrize(
    "kind, answer", [("copy", [3, 1, 2, 1]), ("reverse", [1, 2, 1, 3]), ("sort", [1, 1, 2, 3])]
)
def test_answers_of_the_transductions(kind, answer):
    assert list(transduction.GOALS[kind](np.array([3, 1, 2, 1]))) == answer
    task = recipe(kind, symbols=4, shortest=2, longest=5)
    x, y = task.examples(np.random.default_rng(0), 50, "train")
    lengths = (x != 0).sum(1)
    assert set(lengths) == {2, 3, 4, 5}
    for source, target, length in zip(x, y, lengths):
        assert not source[length:].any() and not target[length + 1 :].any()
        assert target[length] == 5
        assert list(target[:length]) == list(transduction.GOALS[kind](source[:length]))


def test_a_wide_beam_finds_the_likeliest_answer():
    task = recipe("copy", units=4, symbols=2, shortest=1, longest=2, beam=64, embedding_units=3)
    model = task.network((2,), (3,))
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 1.5, weight.shape))
    x = np.array([[1, 2], [2, 0]], "int32")
    found, alignment = task.answers(model, x, 3)
    assert alignment.shape == (2, 3, 2) and not alignment[1, :, 1].any()
    np.testing.assert_allclose(alignment.sum(-1), 1, rtol=1e-5)
    for row, answer in zip(x, found):
        scores = {}
        for y in itertools.product(range(4), repeat=3):
            end = y.index(3) if 3 in y else 3
            if any(y[end + 1 :]):
                continue  # after the end nothing follows
            so_far = np.array([[0, *y[:2]]], "int32")
            chances = tf.nn.log_softmax(model([row[None], so_far]))[0].numpy()
            scores[y] = sum(chances[t, y[t]] for t in range(min(end + 1, 3)))
        assert tuple(answer) == max(scores, key=scores.get)


def test_the_answer_so_far_is_all_that_the_decoder_sees():
    task = recipe("copy", units=4, embedding_units=3)
    x, y = task.examples(np.random.default_rng(0), 3, "train")
    model = task.network(x.shape[1:], y.shape[1:])
    changed = y.copy()
    changed[:, -1] = 1
    losses = [task.losses(model, tf.constant(x), tf.constant(t), [])[0] for t in (y, changed)]
    so_far = [np.pad(t[:, :-1], [(0, 0), (1, 0)]) for t in (y, changed)]
    one, two = (model([x, given]) for given in so_far)
    np.testing.assert_array_equal(one, two)  # the last symbol is only predicted
    assert all(np.isfinite(loss).all() for loss in losses)


def test_adding_problem():
    task = recipe("add", steps=20)
    x, y = task.examples(np.random.default_rng(0), 200, "train")
    lengths = x[..., 2].sum(1).astype(int)
    assert lengths.min() >= 10 and lengths.max() == 20
    np.testing.assert_array_equal(x[..., 1].sum(1), 2)
    for row, total, length in zip(x, y, lengths):
        first, second = np.flatnonzero(row[:, 1])
        assert first < length // 2 <= second < length
        assert total == pytest.approx(row[first, 0] + row[second, 0])
    x, y = task.examples(np.random.default_rng(0), 5, "test")
    assert (x[..., 2].sum(1) == 20).all()


# Text.


def test_rendered_strings():
    task = recipe("ocr", noise=0, shear=0.2)
    x, y = task.examples(np.random.default_rng(0), 30, "train")
    assert x.shape == (30, ocr.HEIGHT, ocr.WIDTH) and x.dtype == "uint8"
    lengths = (y > 0).sum(1) - 1
    assert set(lengths) <= set(range(3, 9))
    assert (x.max((1, 2)) > 120).all()
    # Nothing is cut off: next to no ink at the rim.
    rim = np.concatenate([x[:, [0, -1]].reshape(30, -1), x[:, :, [0, -1]].reshape(30, -1)], 1)
    assert (rim > 60).mean() < 0.01
    ink = (x > 60).any(1).sum(1)
    assert np.corrcoef(ink, lengths)[0, 1] > 0.8
    assert not set(ocr.UNSEEN) & set(ocr.FONTS)
    # What is too wide is made to fit.
    font, rng = ocr.font("DejaVuSans-Bold", ocr.SCALE * max(ocr.SIZES)), np.random.default_rng(0)
    for _ in range(200):
        image = ocr.render("wmwmwmwm", font, rng, shear=0.99, stretch=0.99, bold=0.5, noise=0)
        assert (image[:, [0, -1]] > 60).mean() < 0.05
