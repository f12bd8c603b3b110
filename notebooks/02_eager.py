# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The same LSTM with TensorFlow, step by step
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/02_eager.ipynb)
#
# Eager TensorFlow computes at once, line by line, like NumPy. What it adds: a tape that writes down what was
# computed, and works out the gradients from that. So notebook 1's backward pass is gone.
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

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from lab.tasks.corpus import load_corpus

FULL = os.environ.get("TFCELLS_NOTEBOOKS", "full") == "full"
STEPS = 300 if FULL else 30

# %% [markdown]
# ## A tape
#
# What is done inside the `with` to a variable is written down; `gradient` reads it backwards.

# %%
u = tf.Variable(3.0)
with tf.GradientTape() as tape:
    z = u * u + 1
print("z =", z.numpy(), " dz/du =", tape.gradient(z, u).numpy())

# %% [markdown]
# ## The network
#
# Text, windows and first weights are notebook 1's.

# %%
corpus = load_corpus("pydoc")
words = corpus.vocabulary
BATCH, WINDOW, UNITS = 10, 20, 64
rows = corpus.train[: len(corpus.train) // BATCH * BATCH].reshape(BATCH, -1)


def window(k):
    start = k * WINDOW % (rows.shape[1] - WINDOW - 1)
    return rows[:, start : start + WINDOW], rows[:, start + 1 : start + WINDOW + 1]


def draw_weights():
    """The same weights in notebooks 1, 2 and 3."""
    random = np.random.default_rng(0)
    V, n = len(words), UNITS
    shapes = {"E": (V, n), "W": (n, 4 * n), "U": (n, 4 * n), "b": (4 * n,), "D": (n, V), "d": (V,)}
    return {name: random.uniform(-0.1, 0.1, shape) for name, shape in shapes.items()}


# %% [markdown]
# $$a_t = x_t W + h_{t-1} U + b, \qquad c_t = \sigma(a^f) \odot c_{t-1} + \sigma(a^i) \odot \tanh(a^g),
# \qquad h_t = \sigma(a^o) \odot \tanh c_t$$

# %%


def lstm_step(x, h, c, W, U, b):
    i, f, g, o = tf.split(x @ W + h @ U + b, 4, axis=-1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def loss_of(weights, x, y, state):
    """The mean loss of a word, and the state after the window."""
    E, W, U, b, D, d = weights.values()
    embedded = tf.gather(E, x)
    h, c = state
    outputs = []
    for t in range(x.shape[1]):  # an ordinary loop of Python
        h, c = lstm_step(embedded[:, t], h, c, W, U, b)
        outputs.append(h)
    scores = tf.stack(outputs, axis=1) @ D + d
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores)
    return tf.reduce_mean(losses), (h, c)


# %% [markdown]
# ## One step of training
#
# Tape, gradients, clipping, update: four lines.

# %%
RATE, CLIP = 2.0, 0.5


def train_step(weights, x, y, state):
    with tf.GradientTape() as tape:
        loss, state = loss_of(weights, x, y, state)
    gradients = tape.gradient(loss, list(weights.values()))
    gradients, _ = tf.clip_by_global_norm([tf.convert_to_tensor(g) for g in gradients], CLIP)
    for weight, gradient in zip(weights.values(), gradients, strict=True):
        weight.assign_sub(RATE * gradient)
    return loss, state


weights = {name: tf.Variable(value, name=name) for name, value in draw_weights().items()}
zeros = tf.zeros((BATCH, UNITS), "float64"), tf.zeros((BATCH, UNITS), "float64")
state, losses, seconds = zeros, [], []
for k in range(STEPS):
    started = time.perf_counter()
    loss, state = train_step(weights, *map(tf.constant, window(k)), state)
    losses.append(loss.numpy())
    seconds.append(time.perf_counter() - started)
print(f"{BATCH * WINDOW / np.median(seconds):,.0f} words/s")

# %% [markdown]
# ## Does it agree with NumPy?
#
# Notebook 1's network, as the library has it, from the same weights and over the same windows.

# %%
from tfcells import from_scratch as networks

library = networks.Network(
    networks.Embedding(len(words), UNITS, dtype="float64"),
    networks.LSTM(UNITS, UNITS, dtype="float64"),
    networks.Dense(UNITS, len(words), dtype="float64"),
)
for weight, own in zip(library.weights, draw_weights().values(), strict=True):
    weight[...] = own
cross_entropy, optimizer = networks.SoftmaxCrossEntropy(), networks.SGD(library.weights, RATE)
by_hand = []
for k in range(STEPS):
    x, y = window(k)
    by_hand.append(cross_entropy.forward(library.forward(x), y).mean())
    library.backward(cross_entropy.backward(1 / y.size))
    networks.clip(library.gradients, CLIP)
    optimizer.update(library.gradients)

apart = np.abs(np.array(losses) - by_hand)
print(f"largest difference over {STEPS} steps: {apart.max():.1e}")
assert apart[:30].max() < 1e-8
plt.figure(figsize=(6, 3))
plt.semilogy(np.exp(by_hand), "0.7", linewidth=4, label="NumPy, by hand")
plt.semilogy(np.exp(losses), "k", linewidth=1, label="TensorFlow, by its tape")
plt.xlabel("step")
plt.ylabel("perplexity of a window")
plt.legend()
plt.show()

# %% [markdown]
# ## Where the time goes
#
# Each of some thousand little operations is started from Python, one by one, and again on the way back. The
# arithmetic itself would be done in a fraction of that time: notebook 3.

# %%
x, y = map(tf.constant, window(0))
started = time.perf_counter()
for _ in range(5):
    loss_of(weights, x, y, zeros)
forward = (time.perf_counter() - started) / 5
sizes = sum(int(tf.size(weights[name])) for name in ("W", "U", "D"))
billions = (
    6 * sizes * BATCH * WINDOW / 1e9
)  # two operations a weight and word, forward; twice that back
print(f"forward {forward * 1e3:.1f} ms, the whole step {np.median(seconds) * 1e3:.1f} ms")
print(f"that is {billions / np.median(seconds):.1f} billion operations a second in the products")

# %% [markdown]
# ## At full size
#
# The same steps train the network of two layers of 200 units that Zaremba et al. (2014) published, 13 epochs of
# Penn Treebank: `python train.py lstm --engine eager`. Our curve, of
# the engine that trains by default, beside those that others published:

# %%
from benchmarks import published

published.draw(published.curves())
