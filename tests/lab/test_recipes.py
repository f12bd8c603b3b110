"""The recipes: what their fields may hold, what they build, and that they follow the papers."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from lab.fields import InputError
from lab.learner import NOT_DECAYED, Learner
from lab.recipe import differences
from lab.run import Run, load, load_newest, save
from lab.tasks.corpus import Corpus
from lab.tasks.language_model import LanguageModel
from recipes.penn_treebank import TARGETS

ALL = [(target, size) for target, sizes in TARGETS.items() for size in sizes]
TINY = LanguageModel(units=6, batch_size=2, steps=5, epochs=1, learning_rate=1.0)


def recipe(target, size):
    return TARGETS[target][size].recipe


@pytest.fixture
def corpus():
    random = np.random.default_rng(0)
    streams = [random.integers(0, 7, n, dtype=np.int32) for n in (101, 30, 30)]
    return Corpus("random", "word", ("<eos>", *"abcdef"), *streams)


def learner(recipe, corpus):
    return Learner(recipe, corpus, seed=1, engine="graph", precision="float32")


# Against the papers.


@pytest.mark.parametrize(
    "target, size, parameters",
    [
        ("lstm", "small", 4_651_600),
        ("lstm", "medium", 19_775_200),
        ("lstm", "large", 66_022_000),
        ("rhn", "paper", 23_482_400),
        ("hypernets", "paper", 4_923_154),
    ],
)
def test_parameters_of_the_papers(target, size, parameters):
    assert recipe(target, size).parameters() == parameters


@pytest.mark.parametrize(
    "target, size", [("lstm", "tied"), *((t, "small") for t in TARGETS if t != "lstm")]
)
def test_budget_of_the_small_sizes(target, size):
    assert 3_000_000 < recipe(target, size).parameters() <= 4_651_600


@pytest.mark.parametrize(
    "target, size, rates",
    [
        ("lstm", "small", {1: 1, 4: 1, 5: 0.5, 6: 0.25, 13: 0.5**9}),
        ("lstm", "medium", {1: 1, 6: 1, 7: 0.8, 39: 0.8**33}),
        ("lstm", "large", {1: 1, 14: 1, 15: 1 / 1.15, 55: 1.15**-41}),
        ("rhn", "paper", {1: 0.2, 20: 0.2, 21: 0.2 / 1.02, 500: 0.2 / 1.02**480}),
        ("hypernets", "paper", {1: 1e-3, 100: 1e-3}),
    ],
)
def test_rates_of_the_papers(target, size, rates):
    for epoch, rate in rates.items():
        for step in (0, 500, 999):
            found = recipe(target, size).rate(epoch - 1, step, 1000)
            assert found == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    "target, size, fields",
    [
        ("lstm", "small", {"clip_norm": 5, "dropout": 0, "init_scale": 0.1, "steps": 20}),
        ("lstm", "medium", {"clip_norm": 5, "dropout": 0.5, "init_scale": 0.05, "steps": 35}),
        ("lstm", "large", {"clip_norm": 10, "dropout": 0.65, "init_scale": 0.04, "steps": 35}),
        (
            "rhn",
            "paper",
            {"depth": 10, "transform_bias": -2, "weight_decay": 1e-7, "clip_norm": 10}
            | {"word_dropout": 0.25, "input_dropout": 0.75, "state_dropout": 0.25}
            | {"output_dropout": 0.75, "init_scale": 0.04, "tied": True, "epochs": 500},
        ),
        (
            "hsg",
            "paper",
            {"depth": 40, "transform_bias": -2.5, "gate_bias": -2.5, "weight_decay": 1e-9},
        ),
        (
            "hypernets",
            "paper",
            {"units": 1000, "hyper_units": 128, "embedding_units": 4, "layer_norm": True}
            | {"dropout": 0.1, "recurrent_dropout": 0.1, "clip_norm": 1, "batch_size": 128}
            | {"steps": 100, "level": "char"},
        ),
    ],
)
def test_fields_of_the_papers(target, size, fields):
    one = recipe(target, size)
    found = one.values() | one.cell_arguments
    assert {name: found[name] for name in fields} == fields


@pytest.mark.parametrize("anneal", ["linear", "cosine"])
def test_warm_up_and_annealing(anneal):
    recipe = dataclasses.replace(TINY, epochs=4, warm_up=0.5, anneal=anneal, learning_rate=2.0)
    rates = [recipe.rate(epoch, step, 10) for epoch in range(4) for step in range(10)]
    assert np.argmax(rates) == 5 and rates[5] == 2.0
    np.testing.assert_allclose(np.diff(rates[:6]), 2 / 6)
    assert all(np.diff(rates[5:]) < 0)
    assert 0 < rates[-1] < 0.07
    middle = {"linear": 2 * 19 / 35, "cosine": 1 - math.cos(math.pi * 19 / 35)}
    assert rates[21] == pytest.approx(middle[anneal])


def test_loss_is_summed_over_time_and_averaged_over_the_batch():
    losses = keras.ops.convert_to_tensor([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    assert float(TINY.objective(losses)) == 12
    assert float(dataclasses.replace(TINY, loss="mean").objective(losses)) == 4


def test_losses_are_cross_entropies(corpus):
    model = TINY.build(corpus)
    x, y = next(iter(TINY.batches(corpus)))
    logits = np.array(model([x, *TINY.initial_state(model, 2)])[0])
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(chances, np.array(y)[..., None], 2)[..., 0])
    losses, _ = TINY.losses(model, x, y, TINY.initial_state(model, 2))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_state_is_carried_between_windows(corpus):
    model = dataclasses.replace(TINY, layers=2).build(corpus)
    tokens = corpus.train[:12].reshape(2, 6)
    state = TINY.initial_state(model, 2)
    whole = model([tokens, *map(np.array, state)])
    first = model([tokens[:, :4], *map(np.array, state)])
    second = model([tokens[:, 4:], *map(np.array, first[1:])])
    logits = np.concatenate([first[0], second[0]], axis=1)
    np.testing.assert_allclose(logits, whole[0], atol=1e-6)
    for one, other in zip(second[1:], whole[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_zaremba_initialises_and_drops_out(corpus):
    zaremba = dataclasses.replace(recipe("lstm", "medium"), units=30, init_scale=0.3)
    model = zaremba.build(corpus)
    assert [layer.rate for layer in model.layers if "dropout" in layer.name] == [0.5] * 3
    for weight in model.trainable_variables:
        values = weight.numpy()
        if "layer" in weight.path and "bias" in weight.path:
            assert not values.any()  # no forget bias
        else:
            assert 0.2 < abs(values).max() <= 0.3, weight.path
    assert any(weight.path == "output_bias/bias" for weight in model.trainable_variables)


@pytest.mark.parametrize("field", [f for f in vars(TINY) if f.endswith("dropout")])
def test_dropout_acts_in_training_alone(field, corpus):
    recipe = dataclasses.replace(TINY, **{field: 0.5})
    model = recipe.build(corpus)
    inputs = [corpus.train[:10].reshape(2, 5), *map(np.array, recipe.initial_state(model, 2))]
    still = np.array(model(inputs)[0])
    np.testing.assert_array_equal(model(inputs)[0], still)
    assert not np.array_equal(model(inputs, training=True)[0], still)


def test_some_rows_begin_with_the_zero_state(corpus):
    """All states of a row together, others anew at each call, none outside training."""
    random = np.random.default_rng(0)
    states = [random.normal(size=(300, size)).astype("float32") for size in (3, 2)]
    layer, drawn = tfcells.Restart(0.3, seed=1), []
    for _ in range(2):
        found = [np.array(state) for state in layer(states, training=True)]
        zero = np.all(found[0] == 0, axis=1)
        for new, old in zip(found, states, strict=True):
            np.testing.assert_array_equal(new, np.where(zero[:, None], 0, old))
        assert 0.2 < zero.mean() < 0.4
        drawn.append(zero)
    assert not np.array_equal(*drawn)
    again = tfcells.Restart.from_config(layer.get_config())
    compiled = tf.function(lambda: again(states, training=True), jit_compile=True)
    np.testing.assert_array_equal(np.all(compiled()[0] == 0, axis=1), drawn[0])
    with pytest.raises(ValueError, match="rate must be a number in .0, 1."):
        tfcells.Restart(1)
    for new, old in zip(layer(states), states, strict=True):
        np.testing.assert_array_equal(new, old)

    model = dataclasses.replace(TINY, restart=0.9).build(corpus)
    x, far = np.array(next(iter(TINY.batches(corpus)))[0]), [np.full((2, 6), 0.9, "float32")] * 2
    trained = [np.array(model([x, *far], training=True)[0]) for _ in range(5)]
    fresh = np.array(model([x, *np.zeros_like(far)])[0])
    carried = np.array(model([x, *far])[0])
    rows = [row for batch in trained for row in zip(batch, fresh, carried)]
    began = [np.array_equal(row, new) for row, new, _ in rows]
    assert 5 < sum(began) and all(
        b or np.array_equal(row, old) for b, (row, _, old) in zip(began, rows)
    )


def test_dropout_acts_when_the_learner_trains(corpus):
    one = learner(dataclasses.replace(TINY, output_dropout=0.5, epochs=1), corpus)
    x, y = next(iter(TINY.batches(corpus)))
    first, second = (one.train(x, y, 1e-30)[0] for _ in range(2))
    assert first != second
    weight = np.ones(y.shape, "float32")
    first, second = (next(one.evaluate([(x, y, weight)]))[0] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("target, size", ALL)
def test_no_weight_starts_as_a_copy_of_another(target, size, corpus):
    model = dataclasses.replace(recipe(target, size), units=6).build(corpus)
    drawn = [weight.numpy() for weight in model.trainable_variables if len(weight.shape) > 1]
    drawn = [weight for weight in drawn if weight.std()]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert one.shape != other.shape or not np.array_equal(one, other)


# The learner.


def test_gradients_are_clipped_by_their_common_norm(corpus):
    clipped = learner(dataclasses.replace(TINY, clip_norm=1e-3, tied=True), corpus)
    before = [weight.numpy() for weight in clipped.weights]
    _, norm = clipped.train(*next(iter(TINY.batches(corpus))), rate=2.0)
    moved = [weight.numpy() - old for weight, old in zip(clipped.weights, before, strict=True)]
    assert norm > 1e-3
    assert math.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(2e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("decay_all", [False, True])
def test_weight_decay_shrinks_weights_and_is_in_no_score(corpus, optimizer, decay_all):
    """All but biases, unless decay_all, by rate * decay * weight."""
    recipe = dataclasses.replace(TINY, optimizer=optimizer, decay_all=decay_all)
    plain, decaying = (
        learner(dataclasses.replace(recipe, weight_decay=decay), corpus) for decay in (0.0, 0.25)
    )
    before = [weight.numpy() for weight in plain.weights]
    x, y = next(iter(TINY.batches(corpus)))
    assert plain.train(x, y, 0.5)[0] == decaying.train(x, y, 0.5)[0]
    spared = set()
    for old, one, other in zip(before, plain.weights, decaying.weights, strict=True):
        decayed = decay_all or "bias" not in one.path
        spared |= set() if decayed else {one.path}
        wanted = 0.5 * 0.25 * old if decayed else 0 * old
        np.testing.assert_allclose(one.numpy() - other.numpy(), wanted, atol=1e-6)
    assert len(spared) == (0 if decay_all else 2)  # the cell's and the softmax's


@pytest.mark.parametrize("cell", tfcells.CELLS)
def test_only_matrices_decay(cell):
    """Biases, gains, shifts and peepholes are excluded by name, all vectors among them."""
    layer = tfcells.RNN(tfcells.CELLS[cell](8))
    layer.build((None, None, 3))
    for weight in layer.trainable_variables:
        spared = any(part in weight.name for part in NOT_DECAYED)
        assert spared == (len(weight.shape) == 1 or "bias" in weight.name), weight.name


def test_shards_of_a_batch_give_its_gradients(corpus):
    """Loss, gradient norm, state and new weights, also where the batch can't be halved."""
    recipe = dataclasses.replace(TINY, tied=True, batch_size=3)
    x, y = next(iter(recipe.batches(corpus)))
    found = []
    for shards in (1, 2, 3, 5):
        one = learner(dataclasses.replace(recipe, shards=shards), corpus)
        found.append([*one.train(x, y, 1.0), *one.state, *one.weights])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=1e-6)


def test_penalties_are_in_the_objective_and_in_no_score(corpus):
    """AR and TAR of the last layer's outputs, once for the whole batch, at the scale of a mean loss."""
    x, y = next(iter(TINY.batches(corpus)))
    recipe = dataclasses.replace(TINY, layers=2, activation_penalty=200.0, temporal_penalty=300.0)
    one, plain = learner(recipe, corpus), learner(dataclasses.replace(TINY, layers=2), corpus)
    layers = [layer for layer in plain.model.layers if isinstance(layer, tfcells.RNN)]
    outputs = keras.Model(plain.model.inputs, layers[-1].output[0])
    with tf.GradientTape() as tape:
        losses, _ = recipe.losses(plain.model, x, y, plain.state, training=True)
        h = outputs([x, *plain.state])
        penalty = 200 * tf.reduce_mean(h**2) + 300 * tf.reduce_mean((h[:, 1:] - h[:, :-1]) ** 2)
        objective = (tf.reduce_mean(losses) + penalty) * losses.shape[1]
    gradients = tape.gradient(objective, plain.weights)
    wanted = float(tf.linalg.global_norm(list(map(tf.convert_to_tensor, gradients))))
    assert plain.train(x, y, 1.0)[1] != pytest.approx(wanted, rel=1e-3)
    loss, norm = one.train(x, y, 1.0)
    assert loss == pytest.approx(float(tf.reduce_sum(losses)), rel=1e-5)
    assert norm == pytest.approx(wanted, rel=1e-4)


def test_the_softmax_can_start_at_the_frequencies_of_words(corpus):
    recipe = dataclasses.replace(TINY, tied=True, unigram_start=True)
    model = recipe.build(corpus)
    for weight in model.trainable_weights:
        if "output_bias" not in weight.path:
            weight.assign(tf.zeros_like(weight))
    token = tf.zeros((1, 1), "int32")
    chances = np.exp(np.asarray(model([token, *recipe.initial_state(model, 1)])[0]).ravel())
    counts = np.bincount(corpus.train, minlength=len(corpus.vocabulary))
    np.testing.assert_allclose(chances, counts / counts.sum(), rtol=1e-5)


def test_learner_goes_on_where_its_arrays_were_taken(corpus, tmp_path):
    noisy = dataclasses.replace(
        TINY, optimizer="adam", tied=True, word_dropout=0.3, dropout=0.2, state_dropout=0.3
    )
    batches = list(noisy.batches(corpus))
    one = learner(noisy, corpus)
    for x, y in batches[:3]:
        one.train(x, y, 0.1)
    save(tmp_path / "it.npz", one.arrays(), {})
    expected = [one.train(x, y, 0.1) for x, y in batches[3:]]
    other = learner(noisy, corpus)
    other.restore(load(tmp_path / "it.npz")[0])
    assert [other.train(x, y, 0.1) for x, y in batches[3:]] == expected
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(other.arrays()[name], array)


@pytest.mark.parametrize("target", TARGETS)
def test_portable_model_says_the_same(target, corpus, tmp_path):
    small = dataclasses.replace(next(iter(TARGETS[target].values())).recipe, units=8)
    model = small.build(corpus)
    portable = small.portable(model, corpus)
    tokens = corpus.train[:20].reshape(2, 10)
    expected = model([tokens, *map(np.array, small.initial_state(model, 2))])[0]
    np.testing.assert_allclose(portable(tokens), expected, atol=1e-6)
    portable.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tokens), expected, atol=1e-6)


@pytest.mark.parametrize("level", ["word", "char"])
def test_sample_has_as_many_words_as_asked(level, corpus):
    vocabulary = ("<eos>", *(" abcde" if level == "char" else "abcdef"))
    corpus = dataclasses.replace(corpus, level=level, vocabulary=vocabulary)
    small = dataclasses.replace(TINY, level=level)
    model = small.build(corpus)
    sample = small.sample(model, corpus, 30, seed=3)
    assert len(sample.split()) == 30
    assert "<eos>" not in sample and sample.endswith("\n")
    assert level == "char" or "\n " not in sample
    assert sample == small.sample(model, corpus, 30, seed=3) != small.sample(model, corpus, 30, 4)


# What fields may hold.


@pytest.mark.parametrize(
    "field, text",
    [
        ("units", "0"),
        ("units", "1.5"),
        ("units", "many"),
        ("batch_size", "-3"),
        ("epochs", "99999999999"),
        ("dropout", "1"),
        ("dropout", "1.7"),
        ("state_dropout", "-0.1"),
        ("learning_rate", "0"),
        ("learning_rate", "nan"),
        ("learning_rate", "inf"),
        ("clip_norm", "0"),
        ("weight_decay", "-1"),
        ("optimizer", "lion"),
        ("level", "sentence"),
        ("tied", "maybe"),
        ("one_hot", "1"),
        ("cell.forget_bias", "inf"),
        ("forget_bias", "inf"),
        ("cell", "LSTN"),
        ("wrapper", "1"),
    ],
)
def test_bad_value_is_refused_by_name(field, text):
    with pytest.raises(InputError, match=rf"^{field}={text}: must be "):
        TINY.replace(**{field: text})


def test_good_values_are_read_by_their_type():
    texts = {"units": "7", "learning_rate": "1e-3", "tied": "true", "clip_norm": "none"}
    changed = TINY.replace(**texts, level="char", steps_per_epoch="3")
    assert (changed.units, changed.learning_rate, changed.tied) == (7, 1e-3, True)
    assert (changed.clip_norm, changed.level, changed.steps_per_epoch) == (None, "char", 3)
    assert differences(changed, TINY)[:3] == [
        "units=7 (was 6)",
        "learning_rate=0.001 (was 1.0)",
        "steps_per_epoch=3 (was None)",
    ]


def test_unknown_field_names_the_nearest():
    with pytest.raises(InputError, match="no field 'unit' with cell=LSTMCell; did you mean units"):
        TINY.replace(unit="3")


def test_recipe_checks_itself_in_python_too():
    with pytest.raises(InputError, match="^units=0: must be a whole number"):
        dataclasses.replace(TINY, units=0)
    with pytest.raises(InputError, match="^tied=1: must be true or false"):
        dataclasses.replace(TINY, tied=1)


@pytest.mark.parametrize("target, size", ALL)
def test_recipe_survives_json(target, size):
    saved = json.loads(json.dumps(recipe(target, size).values()))
    assert recipe(target, size).with_values(saved) == recipe(target, size)


# The run's files.


def test_damaged_checkpoint_is_seen_and_the_one_before_used(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for step in (1, 2):
        save(path, {"a": np.full(1000, step, "float32")}, {"step": step})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[:-100], whole[: len(whole) // 2], bytes(flipped), b"", b"stranger"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="checkpoint.npz: damaged"):
            load(path)
        said = []
        arrays, facts = load_newest(path, said.append)
        assert facts == {"step": 1} and (arrays["a"] == 1).all()
        assert len(said) == 1 and "checkpoint.previous.npz" in said[0]
    path.write_bytes(whole)
    assert load_newest(path, said.append)[1] == {"step": 2} and len(said) == 1


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    np.savez(tmp_path / "it.npz", a=np.array([Bomb()], object), sha256=np.zeros(32, np.uint8))
    with pytest.raises(InputError, match="damaged"):
        load(tmp_path / "it.npz")
    assert not (tmp_path / "exploded").exists()


def test_new_run_gets_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def create(folder, n):
        return Run.create(folder, "lstm-small", {"recipe.json": {"n": n}}, filled.append).folder

    filled = []
    names = [create(None, n).name for n in (1, 2)]
    assert names == ["lstm-small-1", "lstm-small-2"]
    assert Run.latest("lstm-small").about() == {"n": 2}
    with pytest.raises(InputError, match="no run runs/lstm-large-n"):
        Run.latest("lstm-large")
    with pytest.raises(InputError, match="exists already"):
        create(tmp_path / "runs" / "lstm-small-1", 3)
    assert len(filled) == 3 and not any(run.folder.exists() for run in filled)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
