"""The language model: its loss, its state, its dropout, what it writes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from lab.fields import InputError
from lab.tasks.generation import written
from tests.tiny import TINY, random_corpus

pytestmark = pytest.mark.slow


@pytest.fixture
def corpus():
    return random_corpus()


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


@pytest.mark.parametrize("field", [f for f in vars(TINY) if f.endswith("dropout")])
def test_dropout_acts_in_training_alone(field, corpus):
    recipe = dataclasses.replace(TINY, **{field: 0.5})
    model = recipe.build(corpus)
    inputs = [corpus.train[:10].reshape(2, 5), *map(np.array, recipe.initial_state(model, 2))]
    still = np.array(model(inputs)[0])
    np.testing.assert_array_equal(model(inputs)[0], still)
    assert not np.array_equal(model(inputs, training=True)[0], still)


def test_some_rows_begin_with_the_zero_state(corpus):
    """All states of a row together, a matrix too, others anew at each call, none outside training."""
    random = np.random.default_rng(0)
    states = [random.normal(size=(300, *size)).astype("float32") for size in ((3,), (2,), (4, 5))]
    layer, drawn = tfcells.Restart(0.3, seed=1), []
    for _ in range(2):
        found = [np.array(state) for state in layer(states, training=True)]
        zero = np.all(found[0] == 0, axis=1)
        for new, old in zip(found, states, strict=True):
            np.testing.assert_array_equal(new[zero], np.zeros_like(old[zero]))
            np.testing.assert_array_equal(new[~zero], old[~zero])
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
    assert 5 < sum(began) and all(b or np.array_equal(row, old) for b, (row, _, old) in zip(began, rows))


def test_the_same_rows_begin_anew_in_all_layers(corpus):
    model = dataclasses.replace(TINY, restart=0.5, layers=3).build(corpus)
    x, far = np.array(next(iter(TINY.batches(corpus)))[0]), [np.full((2, 6), 0.9, "float32")] * 6
    fresh, carried = (np.array(model([x, *states])[0]) for states in (np.zeros_like(far), far))
    seen = set()
    for _ in range(8):
        for row, new, old in zip(np.array(model([x, *far], training=True)[0]), fresh, carried, strict=True):
            seen.add((np.array_equal(row, new), np.array_equal(row, old)))
    assert seen == {(True, False), (False, True)}


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


@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_sample_has_as_many_words_as_asked(level, corpus):
    vocabulary = ("<eos>", *("abcdef" if level == "word" else " abcde"))
    corpus = dataclasses.replace(corpus, level=level, vocabulary=vocabulary)
    small = dataclasses.replace(TINY, level=level)
    model = small.build(corpus)
    sample = small.sample(model, corpus, 30, seed=3)
    assert len(sample.split()) == 30
    assert "<eos>" not in sample and sample.endswith("\n")
    assert level != "word" or not sample.startswith(" ") and "\n " not in sample
    assert sample == small.sample(model, corpus, 30, seed=3) != small.sample(model, corpus, 30, 4)


def test_written_characters_keep_their_indentation(corpus):
    corpus = dataclasses.replace(corpus, level="char", vocabulary=("<eos>", *" :abc"))
    prompt = corpus.encode("  a:\n    b ")
    tokens = iter(["c", "<eos>", " ", " ", "a", " ", "b"])
    assert written(tokens, 4, corpus, prompt) == "  a:\n    b c\n  a b\n"
    words = dataclasses.replace(corpus, level="word")
    tokens = iter(["<eos>", "c", "a", "<eos>", "b"])
    assert written(tokens, 4, words, words.encode("a b")) == "a b\nc a\nb\n"


def test_written_bytes_are_characters(corpus):
    """Also where the prompt or the end is within one; what makes none shows as one that can't be shown."""
    known = [byte for byte in "zoë a\u00a0\u2028".encode().decode("latin-1") if byte != "z"]
    corpus = dataclasses.replace(corpus, level="byte", vocabulary=("<eos>", "z", *dict.fromkeys(known)))
    prompt = corpus.encode("zoë ")
    assert [corpus.vocabulary[index] for index in prompt] == ["z", "o", "Ã", "«", " "]
    tokens = ["a", "Ã", "«", "<eos>", "z", "Ã", "<eos>", "«", "o"]
    assert written(iter(tokens), 4, corpus, prompt) == "zoë aë\nz\ufffd\n\ufffdo\n"


def test_partial_shuffle_rotates_each_row_by_itself(corpus):
    recipe = dataclasses.replace(TINY, partial_shuffle=True, batch_size=3)
    rows = corpus.train[:99].reshape(3, 33)

    def read(epoch):
        pairs = list(recipe.batches(corpus, epoch).as_numpy_iterator())
        x, y = (np.concatenate([pair[n] for pair in pairs], 1) for n in (0, 1))
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
        return x

    found = [read(0), read(1)]
    np.testing.assert_array_equal(found[0], read(0))
    assert not np.array_equal(*found)
    by = []
    for x in found:
        offsets = [
            [n for n in range(33) if np.array_equal(np.roll(row, -n)[: len(part)], part)]
            for row, part in zip(rows, x, strict=True)
        ]
        assert all(len(each) == 1 for each in offsets)
        by.append([each[0] for each in offsets])
    assert len({n for each in by for n in each}) > 4


def test_the_sum_of_layers_is_what_the_softmax_reads(corpus, randomise):
    recipe = dataclasses.replace(TINY, layers=2, layer_sum=True, output_dropout=0.5)
    model = randomise(recipe.build(corpus))
    tokens = corpus.train[:10].reshape(2, 5)
    start = [np.array(s) for s in recipe.initial_state(model, 2)]
    inside = keras.Model(model.inputs, [model.get_layer(f"layer_{n}").output[0] for n in (1, 2)])
    total = sum(map(np.array, inside([tokens, *start])))
    expected = total @ np.array(model.get_layer("output").kernel) + np.array(model.get_layer("output_bias").bias)
    np.testing.assert_allclose(model([tokens, *start])[0], expected, atol=1e-5)
    portable = recipe.portable(model, corpus)
    np.testing.assert_allclose(portable(tokens), expected, atol=1e-5)
    dropped = keras.Model(model.inputs, model.get_layer("output").input)([tokens, *start], training=True)
    kept = np.array(dropped) != 0
    assert (kept == kept[:, :1]).all() and 0 < kept.mean() < 1  # one mask for all steps
    with pytest.raises(InputError, match="layer_sum=True: must be false with layers=1"):
        dataclasses.replace(TINY, layer_sum=True)


def test_the_augmented_loss_has_its_gradient(corpus, randomise):
    rate, temperature = 0.5, 3.0
    recipe = dataclasses.replace(TINY, augmented_loss=rate, augmented_temperature=temperature, tied=True)
    model = randomise(recipe.build(corpus))
    x, y = next(iter(recipe.batches(corpus)))
    state = recipe.initial_state(model, 2)

    def found(recipe, extra=lambda logits: 0.0, training=True):
        with tf.GradientTape() as tape:
            losses, _ = recipe.losses(model, x, y, state, training)
            total = tf.reduce_sum(losses) + extra(model([x, *state])[0])
        return losses, [tf.convert_to_tensor(g) for g in tape.gradient(total, model.trainable_variables)]

    def divergence(logits):
        embeddings = np.array(model.get_layer("embedding").embeddings)
        alike = embeddings[np.array(y)] @ embeddings.T / temperature
        wanted = np.exp(alike) / np.exp(alike).sum(-1, keepdims=True)
        chances = tf.nn.log_softmax(logits / temperature)
        return rate * temperature * tf.reduce_sum(wanted * (np.log(wanted) - chances))

    losses, gradients = found(recipe)
    plain, without = found(TINY)
    np.testing.assert_array_equal(losses, plain)
    _, expected = found(TINY, divergence)
    for one, other, alone in zip(gradients, expected, without, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert abs(one - alone).numpy().max() > 1e-3
    for one, other in zip(found(recipe, training=False)[1], without, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="augmented_loss=0.5: must be 0 with one_hot"):
        dataclasses.replace(TINY, augmented_loss=0.5, one_hot=True)


def test_every_regularizer_goes_around_the_cell():
    rates = {"recurrent_dropout": 0.1, "zoneout": 0.2, "weight_drop": 0.3, "input_dropout": 0.4, "state_dropout": 0.5}
    recipe = dataclasses.replace(TINY, layers=2, output_dropout=0.6, **rates)
    for top in (False, True):
        outer = recipe.regularized_cell(top)
        assert (outer.input_rate, outer.state_rate, outer.output_rate) == (0.4, 0.5, 0.6 * top)
        assert not outer.per_gate and dataclasses.replace(recipe, untied_masks=True).regularized_cell(top).per_gate
        inner = [outer.cell, outer.cell.cell, outer.cell.cell.cell]
        assert [(type(each), each.rate) for each in inner] == [
            (tfcells.WeightDrop, 0.3),
            (tfcells.Zoneout, 0.2),
            (tfcells.RecurrentDropout, 0.1),
        ]


@pytest.mark.parametrize("init_biases", [True, False])
def test_biases_start_as_the_recipe_says(init_biases):
    cell = dataclasses.replace(TINY, init_scale=0.25, init_biases=init_biases).regularized_cell(True)
    kinds = [getattr(cell, name).get_config() for name in ("kernel_initializer", "recurrent_initializer")]
    assert all((kind["minval"], kind["maxval"]) == (-0.25, 0.25) for kind in kinds)
    assert ("maxval" in cell.bias_initializer.get_config()) == init_biases
