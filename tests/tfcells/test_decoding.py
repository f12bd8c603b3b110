"""Decoding equals an enumeration of all sequences, and what NumPy makes of the whole model's outputs."""

import importlib.util
import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfcells
from tests.cases.runs import BATCH, FEATURES
from tests.tfcells.test_stepping import ROWS
from tfcells.choices import Drawn
from tfcells.decoding import Search

ROOT = pathlib.Path(__file__).parents[2]
WORDS, END, LENGTH = 3, 2, 3
LOOP = {"jit_compile": False, "parallel": False, "return_sequences": True}
PROMPT = [[1], [0, 1]]
RNG = np.random.default_rng(0)
MEMORY = [RNG.normal(size=(2, 4, 3)), np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)]

CELLS = {
    "lstm": lambda: tfcells.LSTMCell(4),
    "counting": lambda: tfcells.ClockworkRNNCell(4),
    "matrix": lambda: tfcells.MLSTMCell(4),
    "stack": lambda: [tfcells.GRUCell(4), tfcells.HyperLSTMCell(4, hyper_units=3)],
    "noise": lambda: tfcells.Zoneout(tfcells.VariationalDropout(tfcells.LSTMCell(4), 0.3, 0.3), 0.2),
    "learned": lambda: tfcells.TrainableInitialState(tfcells.GRUCell(4), "normal"),
    "attention": lambda: tfcells.Attention(tfcells.GRUCell(4), 3, 3),
    "luong": lambda: tfcells.LuongAttention(tfcells.LSTMCell(4), 3, 3),
    "records": lambda: tfcells.KVPAttention(tfcells.LSTMCell(6), 3),
}
EVERY = pytest.mark.parametrize("name", CELLS)


def model_of(name, words=WORDS, scale=1.5, dtype="float64"):
    """A model with random weights and biases, and its context."""
    cell = CELLS[name]()
    context = MEMORY if name in ("attention", "luong") else []
    with_policy(dtype)
    try:
        x = keras.Input((None,), dtype="int32", name="tokens")
        more = [keras.Input((None, *c.shape[2:]), dtype=c.dtype.name) for c in context]
        h = layers.Embedding(words, 3, mask_zero=name == "stack")(x)
        y = tfcells.RNN(cell, **LOOP)(h, **dict(zip(("memory", "memory_mask"), more)))
        model = keras.Model([x, *more] if more else x, layers.Dense(words)(y))
    finally:
        with_policy("float32")
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=scale, size=weight.shape))
    return model, context


def with_policy(dtype):
    keras.config.set_dtype_policy(dtype)
    keras.config.set_floatx("float64" if dtype == "float64" else "float32")


def logits_of(model, context, row, tokens):
    """What a whole model makes of one row's tokens, at each step."""
    given = [np.array([tokens], "int32"), *(x[row : row + 1] for x in context)]
    return np.asarray(model(given if context else given[0]))[0]


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def score(model, context, row, sequence):
    """The log-probability of a sequence after a row's prompt."""
    prompt = PROMPT[row]
    steps = log_softmax(logits_of(model, context, row, [*prompt, *sequence[:-1]]))[len(prompt) - 1 :]
    return sum(step[token] for step, token in zip(steps, sequence, strict=True))


def sequences(words, length, end):
    """All sequences of at most so many tokens."""
    for n in range(1, length + 1):
        for sequence in itertools.product(range(words), repeat=n):
            if end not in sequence[:-1] and (n == length or sequence[-1] == end):
                yield sequence


def penalized(value, length, penalty):
    return value / ((5 + length) / (5 + 1)) ** penalty


@pytest.fixture
def uncompiled(monkeypatch):
    """Each step by itself, which is faster than to compile a program for a few."""
    monkeypatch.setattr(Search, "run_eagerly", True)


@EVERY
@pytest.mark.slow
def test_a_beam_as_wide_as_the_space_finds_every_sequence(name):
    """In order, with their scores and lengths; beams without a sequence come last."""
    model, context = model_of(name)
    decoder = tfcells.Decoder(model, end_token=END)
    every = list(sequences(WORDS, LENGTH, END))
    values = [{s: score(model, context, row, s) for s in every} for row in range(len(PROMPT))]
    for penalty in (0.0, 1.3):
        found = decoder.beam_search(PROMPT, LENGTH, beams=len(every) + 2, length_penalty=penalty, context=context)
        for row, value in enumerate(values):
            wanted = {s: penalized(value[s], len(s), penalty) for s in every}
            best = sorted(wanted, key=wanted.get, reverse=True)
            assert [tuple(t[:n]) for t, n in zip(found.tokens[row], found.lengths[row])][: len(every)] == best
            np.testing.assert_allclose(found.scores[row, : len(every)], [wanted[s] for s in best], rtol=1e-12)
            assert np.isneginf(found.scores[row, len(every) :]).all()
    behind = (np.arange(LENGTH) >= found.lengths[..., None]) & np.isfinite(found.scores)[..., None]
    assert behind.any() and (found.tokens[behind] == END).all()
    assert found.scores.dtype == "float64"


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ROWS.values() if "reset" not in case.given], ids=lambda c: c.name)
def test_every_row_of_the_table(case, monkeypatch):
    """Its states follow the beams; in a compiled loop where they are not rows of numbers alone."""
    cell = case.cell(**case.arguments)
    plain = not (cell.clocks | cell.records) and not any(isinstance(size, tuple) for size in cell.state_size)
    monkeypatch.setattr(Search, "run_eagerly", plain)
    context = [np.asarray(x) for name, x in case.given.items() if name != "training"]
    context = [x if x.dtype == bool else x.astype("float32") for x in context]
    tokens = keras.Input((None,), dtype="int32")
    more = [keras.Input((None, *x.shape[2:]), dtype=x.dtype.name) for x in context]
    names = [name for name in case.given if name != "training"]
    table = keras.initializers.RandomUniform(0.1, 1, seed=1)
    rnn = tfcells.RNN(cell, **LOOP)
    y = rnn(layers.Embedding(2, FEATURES, table)(tokens), **dict(zip(names, more, strict=True)))
    model = keras.Model([tokens, *more] if more else tokens, layers.Dense(2)(y))
    values = case.draw(rnn.cell, lambda shape: np.random.default_rng(1).normal(scale=0.4, size=shape))
    for weight, value in zip(rnn.cell.weights, values.values(), strict=True):
        weight.assign(value)
    prompt = np.arange(BATCH)[:, None] % 2
    found = tfcells.Decoder(model).beam_search(prompt, 3, beams=8, context=context)
    read = np.concatenate([np.repeat(prompt, 8, 0), found.tokens.reshape(-1, 3)], 1)
    repeated = [np.repeat(x, 8, 0) for x in context]
    steps = log_softmax(np.asarray(model([read[:, :-1], *repeated] if more else read[:, :-1])))
    wanted = np.take_along_axis(steps, read[:, 1:, None], -1).sum((1, 2)).reshape(BATCH, 8)
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-4)
    assert all(len({tuple(beam) for beam in row}) == 8 for row in found.tokens)
    assert (np.diff(found.scores) <= 0).all()


def narrow(model, context, row, length, beams, penalty, end=END):
    """A beam search on a list, by the whole model."""
    beam = [((), 0.0)]
    for _ in range(length):
        following = []
        for sequence, value in beam:
            if sequence[-1:] == (end,):
                following.append((sequence, value))
                continue
            steps = log_softmax(logits_of(model, context, row, [*PROMPT[row], *sequence])[-1])
            following += [((*sequence, token), value + step) for token, step in enumerate(steps)]
        beam = sorted(following, key=lambda each: penalized(each[1], len(each[0]), penalty), reverse=True)[:beams]
    return [(s, penalized(value, len(s), penalty)) for s, value in beam]


@pytest.mark.parametrize("beams,penalty", [(2, 0.0), (3, 0.0), (3, 2.0)])
@pytest.mark.parametrize("name", ["lstm", "attention"])
@pytest.mark.slow
def test_a_narrow_beam(name, beams, penalty, uncompiled):
    model, context = model_of(name, words=5, scale=0.8)
    decoder = tfcells.Decoder(model, end_token=END)
    found = decoder.beam_search(PROMPT, 6, beams=beams, length_penalty=penalty, context=context)
    for row in range(len(PROMPT)):
        wanted = narrow(model, context, row, 6, beams, penalty)
        assert [tuple(t[:n]) for t, n in zip(found.tokens[row], found.lengths[row])] == [s for s, _ in wanted]
        np.testing.assert_allclose(found.scores[row], [value for _, value in wanted], rtol=1e-12)


def test_a_length_penalty_favors_long_sequences():
    decoder = tfcells.Decoder(model_of("lstm", scale=0.3)[0], end_token=END)
    short, long = (decoder.beam_search(PROMPT, 8, beams=4, length_penalty=a).lengths[:, 0] for a in (0.0, 8.0))
    assert (short < long).all()


@EVERY
@pytest.mark.slow
def test_greedy_is_a_beam_of_one(name, uncompiled):
    model, context = model_of(name, words=5, scale=0.8)
    decoder = tfcells.Decoder(model, end_token=END)
    found = decoder.greedy(PROMPT, 6, context=context)
    beam = decoder.beam_search(PROMPT, 6, beams=1, context=context)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(beam), strict=True):
        assert other.shape == (2, 1, *one.shape[1:])
        np.testing.assert_allclose(one, other[:, 0], rtol=1e-12)
    for row, prompt in enumerate(PROMPT):
        tokens, value = list(prompt), 0.0
        while len(tokens) - len(prompt) < 6 and (len(tokens) == len(prompt) or tokens[-1] != END):
            steps = log_softmax(logits_of(model, context, row, tokens)[-1])
            tokens, value = [*tokens, steps.argmax()], value + steps.max()
        assert list(found.tokens[row, : found.lengths[row]]) == tokens[len(prompt) :]
        np.testing.assert_allclose(found.scores[row], value, rtol=1e-12)


# Sampling.


def probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution of one step, token by token, the likeliest first."""
    chances = np.exp(log_softmax(np.asarray(logits, "float64") / temperature))
    kept, total = np.zeros_like(chances), 0.0
    order = sorted(range(len(chances)), key=lambda token: -chances[token])[:top_k]
    for token in order:
        if top_p is None or total < top_p * chances[order].sum():
            kept[token] = chances[token]
        total += chances[token]
    return kept / kept.sum()


KINDS = [{}, {"temperature": 0.6}, {"top_k": 3}, {"top_p": 0.8}, {"temperature": 1.7, "top_k": 4, "top_p": 0.7}]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_distribution_of_a_draw(options):
    """Draws that fill [0, 1) evenly come as often as NumPy says."""
    logits, count = np.array([0.3, -1.0, 2.0, 0.29, -np.inf, 1.2]), 20_000
    choice = Drawn(top_k=options.get("top_k"), nucleus="top_p" in options)
    given = {"drawn": ((np.arange(count) + 0.5) / count)[None], "temperature": 1.0, "top_p": 1.0} | options
    rows = ops.convert_to_tensor(np.tile(logits, (count, 1)))
    origin, tokens, scores = choice(rows, ops.zeros(count, "float64"), None, 0, given)
    wanted = probabilities(logits, **options)
    np.testing.assert_allclose(np.bincount(tokens, minlength=6) / count, wanted, atol=1.1 / count)
    np.testing.assert_allclose(scores, log_softmax(logits)[np.asarray(tokens)])
    assert origin is None and (np.bincount(tokens, minlength=6) > 0).tolist() == (wanted > 0).tolist()


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.slow
def test_drawn_tokens_are_those_of_numpy(options, uncompiled):
    """By temperature alone those that `choice` of the same generator gives; else the likeliest are drawn from first."""
    model, context = model_of("attention", words=6, scale=0.7)
    found = tfcells.Decoder(model, end_token=END).sample(PROMPT, 8, seed=3, context=context, **options)
    draws = np.random.default_rng(3).random((8, 2))
    for row, prompt in enumerate(PROMPT):
        tokens = list(prompt)
        for draw in draws[:, row]:
            chances = probabilities(logits_of(model, context, row, tokens)[-1], **options)
            order = np.argsort(-chances, kind="stable") if {"top_k", "top_p"} & set(options) else np.arange(6)
            tokens.append(int(order[np.searchsorted(np.cumsum(chances[order]), draw, side="right")]))
            if tokens[-1] == END:
                break
        sequence = tokens[len(prompt) :]
        assert list(found.tokens[row, : found.lengths[row]]) == sequence
        np.testing.assert_allclose(found.scores[row], score(model, context, row, sequence), rtol=1e-10)


def test_a_seed_decides_every_draw():
    decoder = tfcells.Decoder(model_of("lstm", words=9, scale=0.5)[0])
    first, again, other = (decoder.sample(PROMPT, 20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert (first.tokens != other.tokens).any()
    draws = np.random.default_rng(1)
    part = decoder.sample(PROMPT, 7, seed=draws)
    rest = decoder.sample(part.tokens[:, -1:], 13, seed=draws, initial_state=part.states)
    np.testing.assert_array_equal(np.concatenate([part.tokens, rest.tokens], 1), first.tokens)

    def seeded():
        keras.utils.set_random_seed(3)
        return [decoder.sample(PROMPT, 20).tokens for _ in range(2)]

    (a, b), (c, d) = seeded(), seeded()
    np.testing.assert_array_equal([a, b], [c, d])
    assert (a != b).any()


def test_a_temperature_near_zero_is_greedy():
    decoder = tfcells.Decoder(model_of("lstm", words=9, scale=0.5, dtype="float32")[0])
    for temperature in (1e-6, 1e-300):
        found = decoder.sample(PROMPT, 6, temperature=temperature, seed=1)
        np.testing.assert_array_equal(found.tokens, decoder.greedy(PROMPT, 6).tokens)


# Rows, states, programs.


@pytest.mark.parametrize("name", ["lstm", "matrix", "counting", "stack", "attention", "records"])
@pytest.mark.slow
def test_rows_know_nothing_of_one_another(name):
    """A row that has ended is as it was when it ended, whatever the others do; so are its states."""
    model, context = model_of(name, words=5, scale=0.8)
    decoder = tfcells.Decoder(model, end_token=END)
    prompt, pick = [[1], [3, 3, 4], [0, 1], [4]], [0, 1, 1, 0]
    context = [x[pick] for x in context]
    together = decoder.sample(prompt, 12, temperature=2.0, seed=4, context=context)
    assert len(set(together.lengths)) > 1
    draws = np.random.default_rng(4).random((12, 4))

    class Fixed(np.random.Generator):
        def random(self, size):
            return self.draws[: size[0], None]

    for row, each in enumerate(prompt):
        random = Fixed(np.random.PCG64())
        random.draws = draws[:, row]
        length = int(together.lengths[row])
        own = [x[row : row + 1] for x in context]
        alone = decoder.sample([each], length, temperature=2.0, seed=random, context=own)
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row, :length])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], rtol=1e-12)
        for one, all_ in zip(alone.states, together.states, strict=True):
            np.testing.assert_allclose(one[0], all_[row], rtol=1e-11, atol=1e-14)


@EVERY
@pytest.mark.slow
def test_states_go_on(name, uncompiled):
    """Of each beam: what follows is what the whole model gives after the prompt and the beam."""
    model, context = model_of(name, words=5, scale=0.8)
    decoder = tfcells.Decoder(model)
    found = decoder.beam_search(PROMPT, 4, beams=3, context=context)
    assert found.tokens.shape == (2, 3, 4) and all(x.shape[:2] == (2, 3) for x in found.states)
    states = [x.reshape(6, *x.shape[2:]) for x in found.states]
    last = found.tokens[:, :, -1].reshape(6, 1)
    more = decoder.greedy(last, 1, initial_state=states, context=[np.repeat(x, 3, 0) for x in context])
    for row, beam in itertools.product(range(2), range(3)):
        steps = log_softmax(logits_of(model, context, row, [*PROMPT[row], *found.tokens[row, beam]])[-1])
        assert more.tokens[3 * row + beam, 0] == steps.argmax()
        np.testing.assert_allclose(more.scores[3 * row + beam], steps.max(), rtol=1e-11)


def test_a_memory_may_come_from_a_masked_encoder(uncompiled, recwarn):
    """Keras warned that its mask gets lost; the model has an input of its own for it."""
    model, (memory, mask) = model_of("attention", dtype="float32")
    masked = layers.Masking()(np.where(mask[..., None], memory, 0).astype("float32"))
    found, other = (
        tfcells.Decoder(model, end_token=END).greedy(PROMPT, LENGTH, context=[read, mask])
        for read in (masked, np.asarray(masked))
    )
    np.testing.assert_array_equal(found.tokens, other.tokens)
    np.testing.assert_array_equal(found.scores, other.scores)
    assert not [warning for warning in recwarn if "mask" in str(warning.message)]


@pytest.mark.slow
def test_no_length_is_traced_anew():
    decoder = tfcells.Decoder(model_of("lstm", dtype="float32")[0], end_token=END)
    for length in (1, 2, 20, 33):
        for rows in (1, 2, 5):
            decoder.beam_search([[1] * length] * rows, length, beams=2, length_penalty=length / 10)
            decoder.sample([[1] * length] * rows, length, temperature=length, top_p=1 / length, seed=0)
    for search in decoder.searches.values():
        assert search.predict_function.experimental_get_tracing_count() <= 3
    assert len(decoder.searches) == 2 * 2  # either method, of prompts of one token and of others


@pytest.mark.slow
def test_weights_may_change(tmp_path):
    """And the model can be saved."""
    model, _ = model_of("lstm", words=9)
    decoder = tfcells.Decoder(model)
    before = decoder.greedy(PROMPT, 5)
    model.set_weights([-weight for weight in model.get_weights()])
    after = decoder.greedy(PROMPT, 5)
    wanted = tfcells.Decoder(model).greedy(PROMPT, 5)
    np.testing.assert_array_equal(after.scores, wanted.scores)
    assert (before.scores != after.scores).all()
    model.save(tmp_path / "model.keras")
    loaded = tfcells.Decoder(keras.saving.load_model(tmp_path / "model.keras")).greedy(PROMPT, 5)
    np.testing.assert_array_equal(loaded.scores, after.scores)


# Models.


def test_probabilities():
    model, _ = model_of("lstm")
    softmax = keras.Sequential([model, layers.Softmax(dtype="float64")])
    found = tfcells.Decoder(softmax, END, from_logits=False).beam_search(PROMPT, 4, beams=3)
    wanted = tfcells.Decoder(model, END).beam_search(PROMPT, 4, beams=3)
    np.testing.assert_array_equal(found.tokens, wanted.tokens)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-12)
    with pytest.raises(ValueError, match="from_logits must be False, as the outputs of the model are probabilities"):
        tfcells.Decoder(softmax).greedy(PROMPT, 4)
    with pytest.raises(ValueError, match="from_logits must be True, as the outputs of the model are no probabilities"):
        tfcells.Decoder(model, from_logits=False).greedy(PROMPT, 4)


def test_a_model_of_the_last_step_alone():
    """Like those that predict the next character of a window; and a step model."""
    cell, dense = tfcells.RNN(tfcells.LSTMCell(4), jit_compile=False), layers.Dense(5)
    last = keras.Sequential([keras.Input((None,)), layers.Embedding(5, 3), cell, dense])
    every = tfcells.RNN(cell.cell, **LOOP)
    whole = keras.Sequential([keras.Input((None,)), last.layers[0], every, dense])
    found, wanted = (tfcells.Decoder(model).greedy(PROMPT, 6) for model in (last, tfcells.step_model(whole)))
    np.testing.assert_array_equal(found.tokens, wanted.tokens)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-6)


def test_half_precision():
    """Scores add up in float32."""
    model, _ = model_of("lstm", dtype="mixed_float16")
    found = tfcells.Decoder(model, END).beam_search(PROMPT, 4, beams=3)
    assert found.scores.dtype == "float32" and np.isfinite(found.scores).all()


def test_a_fixed_batch_size():
    rnn = tfcells.RNN(tfcells.GRUCell(4), stateful=True, **LOOP)
    model = keras.Sequential([keras.Input((None,), batch_size=2), layers.Embedding(5, 3), rnn, layers.Dense(5)])
    decoder = tfcells.Decoder(model)
    assert decoder.greedy(PROMPT, 3).tokens.shape == (2, 3)
    with pytest.raises(ValueError, match="prompt must be 2 sequences, the batch size of the model, got 1"):
        decoder.greedy(PROMPT[:1], 3)
    with pytest.raises(ValueError, match="beams must be 1 with a model of a fixed batch size"):
        decoder.beam_search(PROMPT, 3, beams=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("call", ["greedy", "sample", "beam_search"])
@pytest.mark.slow
def test_outputs_that_are_not_finite(call, value):
    """In one row, after its first step."""
    model, _ = model_of("lstm")
    table = model.layers[1].embeddings
    table.assign(np.where(np.arange(WORDS)[:, None] == 0, value, table))
    decoder = tfcells.Decoder(model)
    given = {"beams": 3} if call == "beam_search" else {}
    getattr(decoder, call)([[1], [1]], 1, **given)
    with pytest.raises(ValueError, match="model must have finite outputs"):
        getattr(decoder, call)([[1], [1, 0]], 1, **given)


# What is refused.

NUMBERS = r"a whole number from 0 to 2, got"


@pytest.mark.parametrize(
    "given,message",
    [
        ({"end_token": 3}, f"end_token must be None or {NUMBERS} 3"),
        ({"end_token": True}, f"end_token must be None or {NUMBERS} True"),
        ({"from_logits": 1}, "from_logits must be True or False, got 1"),
    ],
)
def test_wrong_decoders(given, message):
    with pytest.raises(ValueError, match=message):
        tfcells.Decoder(model_of("lstm")[0], **given)


def test_wrong_models():
    x, flags, other = keras.Input((None,)), keras.Input((None,), dtype="bool"), keras.Input((None, 2))
    embedded, rnn = layers.Embedding(5, 3)(x), tfcells.RNN(tfcells.ResetOnFlag(tfcells.GRUCell(4)), **LOOP)
    plain = tfcells.RNN(tfcells.GRUCell(4), **LOOP)
    y = plain(embedded)
    for model, message in {
        keras.Model([x, flags], rnn(embedded, reset=flags)): "read one input step by step",
        keras.Model(x, [y, layers.Dense(2)(y)]): "have one output.*2 outputs",
        keras.Model(other, tfcells.RNN(tfcells.GRUCell(4), **LOOP)(other)): "model must read tokens",
        keras.Model(x, layers.Bidirectional(plain)(embedded)): "no single step",
    }.items():
        with pytest.raises(ValueError, match=message):
            tfcells.Decoder(model)


@pytest.mark.parametrize(
    "call,given,message",
    [
        ("greedy", {"length": 0}, "length must be a whole number above 0, got 0"),
        *(("greedy", {"prompt": p}, "prompt must be whole") for p in ([], [[]], [1], [[1.0]], [[-1]], 3, [[[1]]])),
        ("greedy", {"prompt": [[1], [0, 3]]}, "prompt must be tokens below 3, those of the model's Embedding, got 3"),
        ("sample", {"prompt": [[9], [0]]}, "prompt must be tokens below 3, .*, got 9"),
        ("beam_search", {"prompt": [[9], [0]], "beams": 2}, "prompt must be tokens below 3, .*, got 9"),
        ("sample", {"prompt": [[-1], [0]]}, "prompt must be whole numbers of at least 0"),
        ("greedy", {"context": MEMORY[:1]}, "context must be arrays of shapes .*, got"),
        ("greedy", {"context": [x[:1] for x in MEMORY]}, r"context must be .*, got \[\(1, 4, 3\), \(1, 4\)\]"),
        ("greedy", {"initial_state": np.zeros((2, 3))}, r"initial_state must be .* \[\(2, 4\)\], got \[\(2, 3\)\]"),
        *(("sample", {"temperature": t}, "temperature must be a finite number above 0") for t in (0, -1, np.inf, "a")),
        *(("sample", {"top_k": k}, "top_k must be None or a whole number from 1 to 3") for k in (0, 4, 1.5, True)),
        *(("sample", {"top_p": p}, "top_p must be None or a number above 0 and at most 1") for p in (0, 1.1, np.nan)),
        *(("sample", {"seed": s}, "seed must be None, a whole number of at least 0 or a") for s in (-1, 0.5, "a")),
        *(("beam_search", {"beams": b}, "beams must be a whole number above 0") for b in (0, 2.5, None)),
        *(("beam_search", {"beams": 2, "length_penalty": a}, "length_penalty must be a finite") for a in (-1, np.inf)),
    ],
)
def test_wrong_arguments(call, given, message):
    model, context = model_of("attention")
    decoder = tfcells.Decoder(model)
    with pytest.raises(ValueError, match=message):
        getattr(decoder, call)(**{"prompt": PROMPT, "length": 3, "context": context} | given)


# Other backends.

OTHER = """
import keras
import numpy as np
import tfcells
x, memory = keras.Input((None,), dtype="int32"), keras.Input((None, 3))
h = keras.layers.Embedding(5, 3)(x)
h = tfcells.RNN(tfcells.Attention(tfcells.MLSTMCell(4), 3, 3), return_sequences=True)(h, memory=memory)
model = keras.Model([x, memory], keras.layers.Dense(5)(h))
rng = np.random.default_rng(0)
for weight in model.trainable_variables:
    weight.assign(rng.normal(size=weight.shape))
decoder, context = tfcells.Decoder(model, end_token=2), rng.normal(size=(2, 4, 3)).astype("float32")
found = decoder.beam_search([[1], [3, 4]], 5, beams=3, context=context)
for row, prompt in enumerate([[1], [3, 4]]):
    for tokens, length, score in zip(found.tokens[row], found.lengths[row], found.scores[row]):
        given = np.array([[*prompt, *tokens[: length - 1]]], "int32"), context[row : row + 1]
        steps = keras.ops.convert_to_numpy(keras.ops.log_softmax(model(list(given))))[0, len(prompt) - 1 :]
        np.testing.assert_allclose(sum(step[t] for step, t in zip(steps, tokens)), score, rtol=1e-4)
print(found.tokens.tolist(), decoder.sample([[1], [3, 4]], 9, seed=1, top_p=0.9, context=context).tokens.tolist())
"""


BACKENDS = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]


@pytest.mark.slow
@pytest.mark.skipif(len(BACKENDS) < 2, reason=f"no other backend than {BACKENDS} is installed")
def test_every_backend_writes_the_same():
    said = set()
    for backend in BACKENDS:
        environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", OTHER], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1
