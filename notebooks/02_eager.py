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
# **You learn** how TensorFlow finds gradients by itself, and what it costs to run line by line. *Eager* TensorFlow computes
# at once, as NumPy does. It adds a *tape*, which records what was computed and derives the gradients from that. So the
# backward pass of [notebook 1](01_numpy.ipynb) is gone.
#
# **Takes** half a minute on two cores. **Next**: [03_graph](03_graph.ipynb), the same several times as fast.

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

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from lab.tasks.corpus import load_corpus

FULL = os.environ.get("TFCELLS_NOTEBOOKS") != "small"  # the tests run a small one
plt.style.use(os.path.join(root, "notebooks/plots.mplstyle"))
STEPS = 120 if FULL else 10

# %% [markdown]
# ## A tape
#
# The tape records what happens to variables inside the `with`; `gradient` reads it backwards. Here $z = u^2 + 1$, so
# $dz/du = 2u$.

# %%
u = tf.Variable(3.0)
with tf.GradientTape() as tape:
    z = u * u + 1
print("z =", z.numpy(), " dz/du =", tape.gradient(z, u).numpy())

# %% [markdown]
# ## The network
#
# Text, windows and initial weights are those of notebook 1: $E$ has a row for each word, $W$, $U$ and $b$ are the LSTM's, $D$ and
# $d$ turn its output into scores.

# %%
words = load_corpus("pydoc").vocabulary[:2000]
corpus = load_corpus("pydoc", vocabulary=words)
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
# The equations are those of notebook 1, with the input $x_t$, the output $h_t$, the memory $c_t$, the sigmoid $\sigma$, and the
# product $\odot$ element by element:
#
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
# Tape, gradients, clipping, update: four lines. Learning rate and clipping are notebook 1's.

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
print(f"{STEPS} steps, at best {BATCH * WINDOW / min(seconds):,.0f} words per second")

# %% [markdown]
# ## Does it agree with NumPy?
#
# We train the network of notebook 1, as the library has it, from the same weights and over the same windows.

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

# %% [markdown]
# The two curves lie on one another. What they differ by is rounding, in the last digits of a float64.

# %% alt="Perplexity by training step, computed twice. The thin curve of TensorFlow runs along the middle of the wide one of NumPy everywhere."
apart = np.abs(np.array(losses) - by_hand)
print(f"largest difference of the losses in {STEPS} steps: {apart.max():.1e}")
assert apart[:30].max() < 1e-8
plt.figure(figsize=(6, 3))
plt.semilogy(np.exp(by_hand), "C2", linewidth=5, label="NumPy, gradients by hand")
plt.semilogy(np.exp(losses), "C0", linewidth=1, label="TensorFlow, gradients by tape")
plt.title("By hand or by tape: the same curve")
plt.yticks([100, 200, 500, 1000, 2000], ["100", "200", "500", "1,000", "2,000"])
plt.minorticks_off()
plt.xlabel("training step")
plt.ylabel("perplexity of a window")
plt.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Where the time goes
#
# In each step Python starts more than a thousand small operations, one by one, forward and back. How fast would the processor be, if it
# did nothing but multiply? We count the multiplications and additions of the matrix products: two a weight and word
# forward, twice that back. We divide by the time of the fastest step, and compare with one large product.

# %%
sizes = sum(int(tf.size(weights[name])) for name in ("W", "U", "D"))
network = 6 * sizes * BATCH * WINDOW / min(seconds)
matrix, times = tf.random.normal((1000, 1000), dtype="float64"), []
for _ in range(5):
    started = time.perf_counter()
    (matrix @ matrix).numpy()
    times.append(time.perf_counter() - started)
product = 2 * 1000**3 / min(times)
print(f"a step takes at best {min(seconds) * 1e3:.0f} ms")
print(f"network {network / 1e9:.1f}, one product {product / 1e9:.0f} billion operations a second")

# %% [markdown]
# Most of the time goes into starting operations. [Notebook 3](03_graph.ipynb) gets it back.
#
# `python train.py lstm --engine eager` trains so at full size, on the Penn Treebank, at a third of the default engine's speed
# ([engines](../docs/recipes.md#engines)).

# %% [markdown]
# ## Exercises
#
# 1. Differentiate twice: what is $d^2z/du^2$ of $z = u^3$ at 3? *Hint*: one tape inside another; the outer one records the inner
#    one's `gradient`.
# 2. Make `lstm_step` a GRU's. What else has to change? *Hint*: nothing but the shapes of $W$, $U$, $b$ and the state; the tape
#    finds the gradients.
# 3. Try batches of 5, 20 and 80 rows. How do words per second grow? *Hint*: the number of operations to start stays, each does more.
