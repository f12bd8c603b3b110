# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An LSTM from scratch, in NumPy
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/01_numpy.ipynb)
#
# A language model that reads words and predicts the next one: every equation beside its code, gradients
# worked out by hand and checked here. Notebooks 2 and 3 do the same with TensorFlow, from the same weights.
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
import matplotlib.pyplot as plt
import numpy as np

FULL = os.environ.get("TFCELLS_NOTEBOOKS", "full") == "full"
STEPS = 600 if FULL else 25

# %% [markdown]
# ## The text
#
# The language reference that comes with Python, as a stream of word indices.

# %%
from lab.tasks.corpus import load_corpus

corpus = load_corpus("pydoc")
words = corpus.vocabulary
print(f"{len(corpus.train):,} words, {len(words):,} different")
print(" ".join(words[n] for n in corpus.train[:12]))

# %% [markdown]
# Ten rows of the stream are read side by side, twenty words at a time. The target of a word is the word
# after it.

# %%
BATCH, WINDOW = 10, 20
rows = corpus.train[: len(corpus.train) // BATCH * BATCH].reshape(BATCH, -1)


def window(k):
    start = k * WINDOW % (rows.shape[1] - WINDOW - 1)
    return rows[:, start : start + WINDOW], rows[:, start + 1 : start + WINDOW + 1]


x, y = window(0)
x.shape, y.shape

# %% [markdown]
# ## Forward
#
# With input $x_t$, output $h_t$ and memory $c_t$, each of the gates has a quarter of $a_t$:
#
# $$a_t = x_t W + h_{t-1} U + b$$
#
# $$i, f, o = \sigma(a^i), \sigma(a^f), \sigma(a^o), \qquad g = \tanh(a^g)$$
#
# $$c_t = f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh c_t$$

# %%


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_forward(x, h, c, W, U, b):
    """All steps; x: (steps, batch, inputs). What the way back needs is kept."""
    kept, outputs = [], []
    for t in range(len(x)):
        i, f, g, o = np.split(x[t] @ W + h @ U + b, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        kept.append((x[t], h, c, i, f, g, o))
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), (h, c), (kept, c)


# %% [markdown]
# ## Backward
#
# Let $\delta z$ be the gradient of the loss for $z$. The output $h_t$ is read by the loss and by step $t+1$,
# the memory $c_t$ by $h_t$ and by step $t+1$. So, going back in time, with
# $\sigma' = \sigma(1 - \sigma)$ and $\tanh' = 1 - \tanh^2$:
#
# $$\delta c_t \mathrel{+}= \delta h_t \odot o \odot (1 - \tanh^2 c_t)$$
#
# $$\delta a^i = \delta c_t \odot g \odot i(1-i) \qquad \delta a^f = \delta c_t \odot c_{t-1} \odot f(1-f)$$
#
# $$\delta a^g = \delta c_t \odot i \odot (1-g^2) \qquad \delta a^o = \delta h_t \odot \tanh c_t \odot o(1-o)$$
#
# $$\delta c_{t-1} = \delta c_t \odot f \qquad \delta h_{t-1} = \delta a_t U^\top \qquad \delta x_t = \delta a_t W^\top$$
#
# $$\delta W = \sum_t x_t^\top \delta a_t \qquad \delta U = \sum_t h_{t-1}^\top \delta a_t \qquad \delta b = \sum_t \delta a_t$$

# %%


def lstm_backward(dy, kept, W, U, b):
    """The gradients of x, W, U and b, from those of all outputs."""
    kept, c = kept
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    dx, dh, dc = [], 0, 0
    for dy_t, (x, h, c_before, i, f, g, o) in zip(dy[::-1], kept[::-1], strict=True):
        dh = dh + dy_t
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        da = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c_before * f * (1 - f),
                dc * i * (1 - g**2),
                dh * np.tanh(c) * o * (1 - o),
            ],
            axis=-1,
        )
        dW += x.T @ da
        dU += h.T @ da
        db += da.sum(0)
        dx.append(da @ W.T)
        dh, dc, c = da @ U.T, dc * f, c_before
    return np.stack(dx[::-1]), dW, dU, db


# %% [markdown]
# ## The whole network
#
# A row of the matrix $E$ for each word, the LSTM, a linear map to one score a word, softmax. The gradient of
# the cross-entropy for the scores is the probabilities, less 1 at the target.

# %%
UNITS = 64


def draw_weights():
    """The same weights in notebooks 1, 2 and 3."""
    random = np.random.default_rng(0)
    V, n = len(words), UNITS
    shapes = {"E": (V, n), "W": (n, 4 * n), "U": (n, 4 * n), "b": (4 * n,), "D": (n, V), "d": (V,)}
    return {name: random.uniform(-0.1, 0.1, shape) for name, shape in shapes.items()}


# %%


def loss_and_gradients(weights, x, y, state):
    """The mean loss of a word, the gradients, the state after the window."""
    E, W, U, b, D, d = weights.values()
    h, state, kept = lstm_forward(E[x.T], *state, W, U, b)
    scores = h @ D + d
    scores -= scores.max(-1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(-1, keepdims=True)
    t, row = np.indices(y.T.shape)
    loss = -np.log(p[t, row, y.T]).mean()

    p[t, row, y.T] -= 1
    dscores = p / y.size
    dh = dscores @ D.T
    dx, dW, dU, db = lstm_backward(dh, kept, W, U, b)
    dE = np.zeros_like(E)
    np.add.at(dE, x.T, dx)
    dD = np.einsum("tbh,tbv->hv", h, dscores, optimize=True)
    return loss, dict(zip(weights, (dE, dW, dU, db, dD, dscores.sum((0, 1))), strict=True)), state


# %%
zeros = np.zeros((BATCH, UNITS)), np.zeros((BATCH, UNITS))
weights = draw_weights()
loss, gradients, _ = loss_and_gradients(weights, x, y, zeros)
print(f"loss {loss:.4f}; a guess among {len(words):,} words has {np.log(len(words)):.4f}")

# %% [markdown]
# ## Are the gradients right?
#
# Move all entries of one weight a little along a random direction: the loss must change by the gradient's
# share of that direction.

# %%


def difference(name, step=1e-5):
    """The change of the loss along a random direction, measured and as the gradient says."""
    along = np.random.default_rng(1).normal(size=weights[name].shape)
    ends = []
    for sign in (1, -1):
        moved = weights | {name: weights[name] + sign * step * along}
        ends.append(loss_and_gradients(moved, x, y, zeros)[0])
    return (ends[0] - ends[1]) / (2 * step), (gradients[name] * along).sum()


for name in weights:
    measured, derived = difference(name)
    print(f"{name}: measured {measured:+.9f}, derived {derived:+.9f}")
    assert abs(measured - derived) < 1e-6 * max(1, abs(derived))

# %% [markdown]
# They agree also with the library's own NumPy networks, `tfcells.from_scratch`, which work on all steps at once
# where that can be done.

# %%
from tfcells import from_scratch as networks

library = networks.Network(
    networks.Embedding(len(words), UNITS, dtype="float64"),
    networks.LSTM(UNITS, UNITS, dtype="float64"),
    networks.Dense(UNITS, len(words), dtype="float64"),
)
for weight, own in zip(library.weights, weights.values(), strict=True):
    weight[...] = own
cross_entropy = networks.SoftmaxCrossEntropy()
print(abs(cross_entropy.forward(library.forward(x), y).mean() - loss))
library.backward(cross_entropy.backward(1 / y.size))
for name, dense, own in zip(weights, library.gradients, gradients.values(), strict=True):
    dense = dense.dense(own) if name == "E" else dense
    assert np.abs(dense - own).max() < 1e-12

# %% [markdown]
# ## Training
#
# Plain gradient descent at rate 2, with the gradient's norm over all weights clipped at 0.5. The state after
# a window is the state before the next one.

# %%
RATE, CLIP = 2.0, 0.5


def train(weights, steps):
    state, losses = zeros, []
    for k in range(steps):
        x, y = window(k)
        loss, gradients, state = loss_and_gradients(weights, x, y, state)
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for name, gradient in gradients.items():
            weights[name] -= RATE * min(1, CLIP / norm) * gradient
        losses.append(loss)
    return np.array(losses)


losses = train(weights, STEPS)
plt.figure(figsize=(6, 3))
plt.plot(np.exp(losses), "0.8")
mean = np.convolve(losses, np.ones(20) / 20, "valid")
plt.plot(np.arange(19, len(losses)), np.exp(mean), "k")
plt.xlabel("step")
plt.ylabel("perplexity of a window")
plt.yscale("log")
plt.show()

# %% [markdown]
# ## What it makes up
#
# Word by word, each drawn with the probability that the network gives it.

# %%


def sample(count, seed=3):
    E, W, U, b, D, d = weights.values()
    random, word, state, text = np.random.default_rng(seed), corpus.eos, [z[:1] for z in zeros], []
    for _ in range(count):
        h, state, _ = lstm_forward(E[[[word]]], *state, W, U, b)
        scores = (h @ D + d)[0, 0]
        p = np.exp(scores - scores.max())
        word = random.choice(len(words), p=p / p.sum())
        text.append(words[word])
    return " ".join(text)


print(sample(40))

# %% [markdown]
# ## At full size
#
# These steps, made faster, are `tfcells.from_scratch`; `python train.py lstm --engine numpy` trains with them the
# network of two layers of 200 units that Zaremba et al. (2014) published, 13 epochs of Penn Treebank. Our curve, of the engine that trains
# by default, beside those that others published:

# %%
from benchmarks import published

published.draw(published.curves())
