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
# **You learn** what `tf.function` does, what XLA adds, and what each costs before it pays. `tf.function` runs a Python
# function once, to *trace* it: it collects the operations in a graph. From then on the graph runs, and the Python
# code does not.
#
# **Takes** a minute on two cores. **Next**: [04_hypernetworks](04_hypernetworks.ipynb), a network that writes another one's weights.

# %%
import os
import subprocess
import sys

root = ".."  # the repository, as seen from this notebook
if "google.colab" in sys.modules:
    root, url = "tfcells", "https://github.com/tfcells/tfcells"
    if not os.path.isdir(root):
        subprocess.run(["git", "clone", "-q", url], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", f"{root}[lab]"], check=True)
sys.path.insert(0, os.path.abspath(root))

# %%
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfcells
from lab.tasks.corpus import load_corpus

FULL = os.environ.get("TFCELLS_NOTEBOOKS") != "small"  # the tests run a small one
plt.style.use(os.path.join(root, "notebooks/plots.mplstyle"))
STEPS, LENGTHS = (60, (10, 20, 30)) if FULL else (10, (2, 4))

# %% [markdown]
# ## What tracing is
#
# `print` is Python's: it runs while the function is traced, so once. `tf.print` is an operation of the graph: it runs
# whenever the graph does, so twice.

# %%


@tf.function
def double(x):
    print("tracing for", x)
    tf.print("running with", x, output_stream=sys.stdout)
    return 2 * x


for n in (1.0, 2.0):
    double(tf.constant(n))

# %% [markdown]
# A Python number becomes part of the graph, so each new one makes a new graph: three so far. Pass tensors instead.

# %%
print("numbers:")
for n in (1.0, 2.0):
    double(n)
print("graphs so far:", double.experimental_get_tracing_count())

# %% [markdown]
# New shapes are traced anew, too, unless the signature leaves them open. Here one graph is enough for three lengths.

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
# It is that of notebook 2, from the same weights, over the same windows: $E$ has a row for each word, $W$, $U$ and $b$ are
# the LSTM's, $D$ and $d$ turn its output into scores.

# %%
words = load_corpus("pydoc").vocabulary[:2000]
corpus = load_corpus("pydoc", vocabulary=words)
BATCH, WINDOW, UNITS, RATE, CLIP = 10, 20 if FULL else 5, 64, 2.0, 0.5
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
    """One step after the other: for each step, its operations are in the graph once more."""
    (h, c), outputs = state, []
    for t in range(embedded.shape[1]):
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
    """The losses, the seconds of the first step, and of the fastest of the others."""
    state = tf.zeros((BATCH, UNITS), "float64"), tf.zeros((BATCH, UNITS), "float64")
    losses, seconds = [], []
    for k in range(STEPS):
        started = time.perf_counter()
        loss, state = step(*window(k), state)
        losses.append(float(loss))
        seconds.append(time.perf_counter() - started)
    return np.array(losses), seconds[0], min(seconds[1:])


# %% [markdown]
# ## Four ways to run it
#
# - *Eager* starts each operation from Python.
# - *Graph* runs the same operations, without Python.
# - *XLA* compiles the whole step of training: neighboring operations become one, so fewer are to be started.
# - *tfcells.RNN* is the library's layer in an ordinary graph. Its loop over time is compiled, and the large products
#   are taken out of it; the rest of the step is not compiled.

# %%
cell = tfcells.LSTMCell(UNITS, dtype="float64")
layer = tfcells.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
layer.build((BATCH, None, UNITS))


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
    apart = np.abs(losses - found["eager"][0]).max()
    print(f"{name:12} first step {first:5.2f} s, losses differ from eager's by {apart:.0e} at most")
    assert apart < 1e-8

# %% [markdown]
# All four compute the same losses, but for rounding.

# %% alt="Words per second of four ways to run the network, as bars. Eager is by far the slowest; the graph, XLA and tfcells.RNN follow."
speeds = {name: BATCH * WINDOW / other for name, (_, _, other) in found.items()}
names = sorted(speeds, key=speeds.get)
plt.figure(figsize=(6, 2))
bars = plt.barh(names, [speeds[name] for name in names])
plt.bar_label(bars, [f"{speeds[name]:,.0f}" for name in names], padding=3)
plt.title(f"A graph is {speeds['graph'] / speeds['eager']:.0f} times as fast as eager")
plt.xlabel("words per second, training")
plt.gca().xaxis.set_major_formatter("{x:,.0f}")
plt.show()

# %% [markdown]
# A longer first step has paid when what the later steps save adds up to it.

# %%
for name, other in (("graph", "eager"), ("XLA", "graph"), ("tfcells.RNN", "graph")):
    longer, saved = found[name][1] - found[other][1], found[other][2] - found[name][2]
    when = f"after {max(longer / saved, 0):,.0f} steps" if saved > 0 else "never, in this run"
    print(f"{name:12} pays beside {other:5} {when}")

# %% [markdown]
# Why is plain XLA ahead of the library's layer here, in most runs? Most of the arithmetic is the map from the output to one score a
# word. XLA compiles it, the softmax and the update of the weights along with the LSTM. The layer compiles the LSTM alone, the
# share printed below, and leaves the rest to TensorFlow.

# %%
recurrent, output = 2 * UNITS * 4 * UNITS, UNITS * len(words)
print(f"{recurrent / (recurrent + output):.0%} of the products are the LSTM's")

# %% [markdown]
# ## The LSTM alone
#
# So we time the LSTM without the rest: loss and gradients of random inputs, for several sequence lengths. XLA here compiles
# the loop step by step, so its program grows with the length.

# %%


def time_alone(lstm, length, **options):
    """Seconds of the first call, and of the fastest of thirty others."""
    weights = [tf.Variable(draw_weights()[name]) for name in "WUb"]

    def step(x):
        with tf.GradientTape() as tape:
            zeros = tf.zeros((BATCH, UNITS), "float64")
            loss = tf.reduce_sum(lstm(x, (zeros, zeros), *weights)[0] ** 2)
        return tape.gradient(loss, weights)[0]

    step, seconds = tf.function(step, **options), []
    x = tf.random.normal((BATCH, length, UNITS), dtype="float64")
    for _ in range(31):
        started = time.perf_counter()
        step(x).numpy()
        seconds.append(time.perf_counter() - started)
    return seconds[0], min(seconds[1:])


alone = {
    "graph": [time_alone(by_steps, length) for length in LENGTHS],
    "XLA": [time_alone(by_steps, length, jit_compile=True) for length in LENGTHS],
    "tfcells.RNN": [time_alone(by_layer, length) for length in LENGTHS],
}

# %% alt="Two plots against sequence length, with a curve for the graph, XLA and tfcells.RNN. Left, the first call: XLA rises steeply, the other two stay low. Right, later calls: all rise, tfcells.RNN least."
_, axes = plt.subplots(1, 2, figsize=(9, 3))
titles = "First call: XLA compiles longer with each step", "Later calls: the layer is fastest on long sequences"
for place, part, title, unit in zip(axes, (0, 1), titles, (1, 1e3)):
    lines = {name: [unit * each[part] for each in times] for name, times in alone.items()}
    order = sorted(lines, key=lambda name: lines[name][-1])
    for (name, values), color in zip(lines.items(), ("C1", "C2", "C0")):
        place.plot(LENGTHS, values, f"o-{color}")
        shift = 6, 6 * order.index(name) - 9  # names above one another, as the lines are
        place.annotate(name, (LENGTHS[-1], values[-1]), shift, textcoords="offset points", color=color)
    place.set(xlabel="sequence length, steps", xticks=LENGTHS, ylim=(0, None), title=title)
    place.set_ylabel("seconds" if part == 0 else "milliseconds")
plt.show()

# %% [markdown]
# XLA compiles every step of the loop, so 30 steps take it three to five times as long as 10. The layer compiles one step: its first call
# takes about a second at any length, and less at 20 steps, where it has the program from above. In later calls XLA is ahead on short
# sequences, the layer on long ones.
#
# `python train.py lstm` trains with `tfcells.RNN` at full size, on the Penn Treebank, in an hour on two cores. Notebook 1 ends with the result.

# %% [markdown]
# ## Exercises
#
# 1. Compile the step around the layer, too: `make_step(by_layer, jit_compile=True)`. What happens to the first step, and to
#    the others? *Hint*: add it to `ways`.
# 2. Call `total` without a signature with ten lengths, and count the graphs. *Hint*: `experimental_get_tracing_count`.
# 3. From how many units on does the LSTM matter? *Hint*: solve `recurrent == output` for `UNITS`, then run the notebook with that.
