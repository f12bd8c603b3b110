# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The same LSTM as a graph
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/03_graph.ipynb)
#
# `tf.function` runs a Python function once, to *trace* it: what TensorFlow was asked to do becomes a graph.
# From then on the graph runs, and the Python code does not.
#
# The outputs below are of the full setting; with the environment variable
# `TFCELLS_NOTEBOOKS=small` it all ends within a minute, as in the tests.

# %%
import os
import subprocess
import sys

if "google.colab" in sys.modules:
    url = "https://github.com/tfcells/tfcells"
    if not os.path.isdir("tfcells"):
        subprocess.run(["git", "clone", "-q", url], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", "tfcells[lab]"], check=True)
    sys.path.insert(0, "tfcells")

# %%
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfcells
from lab.tasks.corpus import load_corpus

FULL = os.environ.get("TFCELLS_NOTEBOOKS", "full") == "full"
STEPS = 60 if FULL else 25

# %% [markdown]
# ## What tracing is
#
# `print` is Python's: it runs while the function is traced. `tf.print` is an operation of the graph: it runs
# whenever the graph does.

# %%


@tf.function
def double(x):
    print("tracing for", x)
    tf.print("running with", x, output_stream=sys.stdout)
    return 2 * x


double(tf.constant(1.0))
double(tf.constant(2.0))

# %% [markdown]
# A number of Python is part of the graph, so each new one makes a new graph. A tensor is not: pass tensors.

# %%
print("numbers:")
for n in (1.0, 2.0):
    double(n)
print("graphs so far:", double.experimental_get_tracing_count())

# %% [markdown]
# New shapes are traced anew, too, unless the signature leaves them open.

# %%


@tf.function(input_signature=[tf.TensorSpec([None])])
def total(x):
    return tf.reduce_sum(x)


for n in (3, 4, 5):
    total(tf.ones([n]))
print("graphs for three lengths:", total.experimental_get_tracing_count())

# %% [markdown]
# ## The network, once more
#
# Notebook 2's, from the same weights, over the same windows.

# %%
corpus = load_corpus("pydoc")
words = corpus.vocabulary
BATCH, WINDOW, UNITS, RATE, CLIP = 10, 20, 64, 2.0, 0.5
rows = corpus.train[: len(corpus.train) // BATCH * BATCH].reshape(BATCH, -1)


def window(k):
    start = k * WINDOW % (rows.shape[1] - WINDOW - 1)
    x, y = rows[:, start : start + WINDOW], rows[:, start + 1 : start + WINDOW + 1]
    return tf.constant(x), tf.constant(y)


# %%


def draw_weights():
    """The same weights in notebooks 1, 2 and 3."""
    random = np.random.default_rng(0)
    V, n = len(words), UNITS
    shapes = {"E": (V, n), "W": (n, 4 * n), "U": (n, 4 * n), "b": (4 * n,), "D": (n, V), "d": (V,)}
    return {name: random.uniform(-0.1, 0.1, shape) for name, shape in shapes.items()}


# %%


def by_steps(embedded, state, W, U, b):
    """Twenty steps one after the other: twenty times the operations in the graph."""
    (h, c), outputs = state, []
    for t in range(WINDOW):
        i, f, g, o = tf.split(embedded[:, t] @ W + h @ U + b, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        outputs.append(h)
    return tf.stack(outputs, axis=1), (h, c)


# %%


def make_step(lstm, graph=True, **options):
    """A network from the first weights, and its step of training."""
    weights = {name: tf.Variable(value) for name, value in draw_weights().items()}

    def step(x, y, state):
        with tf.GradientTape() as tape:
            E, W, U, b, D, d = weights.values()
            outputs, state = lstm(tf.gather(E, x), state, W, U, b)
            scores = outputs @ D + d
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, list(weights.values()))
        gradients, _ = tf.clip_by_global_norm([tf.convert_to_tensor(g) for g in gradients], CLIP)
        for weight, gradient in zip(weights.values(), gradients, strict=True):
            weight.assign_sub(RATE * gradient)
        return loss, state

    return tf.function(step, **options) if graph else step


# %%


def run(step):
    """The losses, the seconds of the first step, and the median of the others."""
    state = tf.zeros((BATCH, UNITS), "float64"), tf.zeros((BATCH, UNITS), "float64")
    losses, seconds = [], []
    for k in range(STEPS):
        started = time.perf_counter()
        loss, state = step(*window(k), state)
        losses.append(float(loss))
        seconds.append(time.perf_counter() - started)
    return np.array(losses), seconds[0], np.median(seconds[1:])


# %% [markdown]
# ## What a graph costs, and what it wins
#
# *Graph* starts the same operations, but not from Python. *XLA* compiles them: neighbors melt into one, and
# little is left to be started. The last is the library's layer: its loop over time is compiled once, however
# many steps it has, and the large products are taken out of it.

# %%
cell = tfcells.LSTMCell(UNITS, dtype="float64")
layer = tfcells.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
layer.build((BATCH, WINDOW, UNITS))


def by_layer(embedded, state, W, U, b):
    with keras.StatelessScope(zip(cell.weights, (W, U, b), strict=True)):
        outputs, *state = layer(embedded, initial_state=list(state))
    return outputs, tuple(state)


ways = {
    "eager": lambda: make_step(by_steps, graph=False),
    "graph": lambda: make_step(by_steps),
    "XLA": lambda: make_step(by_steps, jit_compile=True),
    "tfcells.RNN": lambda: make_step(by_layer),
}
found = {name: run(make()) for name, make in ways.items()}
for name, (losses, first, other) in found.items():
    print(f"{name:12} first step {first:5.2f} s, then {BATCH * WINDOW / other:8,.0f} words/s")

# %% [markdown]
# ## Do they agree?

# %%
reference = found["eager"][0]
for name, (losses, *_) in found.items():
    apart = np.abs(losses - reference).max()
    print(f"{name:12} largest difference from eager {apart:.1e}")
    assert apart < 1e-8

# %%
names = list(found)
plt.figure(figsize=(6, 2.5))
speeds = [BATCH * WINDOW / found[name][2] for name in names]
bars = plt.barh(names, speeds, color="0.6")
plt.bar_label(bars, [f"{speed:,.0f}" for speed in speeds], padding=3)
plt.xlabel("words/s")
plt.xlim(0, 1.2 * max(speeds))
plt.gca().invert_yaxis()
plt.show()

# %% [markdown]
# ## At full size
#
# `python train.py lstm` trains the network of two layers of 200 units that Zaremba et al. (2014) published, 13
# epochs of Penn Treebank, as a graph. Its curve beside those that others published:

# %%
from benchmarks import published

published.draw(published.curves())
