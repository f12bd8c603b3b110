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
# **You learn** how an LSTM computes, how its gradients follow by the chain rule, and how to check them. The example is a
# language model: it reads words and predicts the next one. Each equation stands beside its code.
#
# **Takes** a minute on two cores. **Next**: [02_eager](02_eager.ipynb), the same in TensorFlow.

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
import matplotlib.pyplot as plt
import numpy as np

from lab.tasks.corpus import load_corpus

FULL = os.environ.get("TFCELLS_NOTEBOOKS") != "small"  # the tests run a small one
STEPS = 600 if FULL else 25
plt.style.use(os.path.join(root, "notebooks/plots.mplstyle"))

# %% [markdown]
# ## The text
#
# The documentation that comes with Python: the language reference and the docstrings of the standard library. `corpus.train`
# is a stream of word indices. We keep the 2,000 commonest words. The others become `<unk>`, for unknown; `<eos>` ends a
# sentence.

# %%
words = load_corpus("pydoc").vocabulary[:2000]
corpus = load_corpus("pydoc", vocabulary=words)
print(f"{len(corpus.train):,} words, {len(words):,} different")
print(" ".join(words[n] for n in corpus.train[:20]))

# %% [markdown]
# We cut the stream into ten rows and read them side by side, twenty words at a time. The target of a word is the word
# after it.

# %%
BATCH, WINDOW = 10, 20
rows = corpus.train[: len(corpus.train) // BATCH * BATCH].reshape(BATCH, -1)


def window(k):
    start = k * WINDOW % (rows.shape[1] - WINDOW - 1)
    return rows[:, start : start + WINDOW], rows[:, start + 1 : start + WINDOW + 1]


x, y = window(0)
print("inputs ", *(words[n] for n in x[0, :6]))
print("targets", *(words[n] for n in y[0, :6]))

# %% [markdown]
# ## Forward
#
# At step $t$ the LSTM reads an input $x_t$ and its own last output $h_{t-1}$. Its weights are the matrices $W$ and $U$ and
# the vector $b$. One sum has four parts $a^i, a^f, a^g, a^o$, each as wide as the output:
#
# $$a_t = x_t W + h_{t-1} U + b$$
#
# Three parts become gates between 0 and 1, through the sigmoid $\sigma$. The fourth becomes the candidate $g$:
#
# $$i, f, o = \sigma(a^i), \sigma(a^f), \sigma(a^o), \qquad g = \tanh(a^g)$$
#
# The forget gate $f$ says how much of the memory $c$ stays, the input gate $i$ how much of the candidate enters, the
# output gate $o$ how much the network shows ($\odot$ multiplies element by element):
#
# $$c_t = f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh c_t$$

# %%


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_forward(x, h, c, W, U, b):
    """All steps; x: (steps, batch, inputs). Keeps what the backward pass needs."""
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
# Let $\delta z$ be the gradient of the loss with respect to $z$. The loss reads the output $h_t$, and so does step $t+1$.
# The output reads the memory $c_t$, and so does step $t+1$. So we go back in time and add up, with
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
# A matrix $E$ has a row for each word of the vocabulary, the input of the LSTM. A matrix $D$ and a vector $d$ turn its
# output into one score a word, and softmax turns the scores into probabilities. The loss is the cross-entropy: minus the logarithm of the target's
# probability. Its gradient with respect to the scores is the probabilities, less 1 at the target.

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


# %% [markdown]
# Before training the loss must be that of a blind guess among all words, the logarithm of their number.

# %%
zeros = np.zeros((BATCH, UNITS)), np.zeros((BATCH, UNITS))
weights = draw_weights()
loss, gradients, _ = loss_and_gradients(weights, x, y, zeros)
print(f"loss {loss:.4f}; a blind guess among {len(words):,} words: {np.log(len(words)):.4f}")

# %% [markdown]
# ## Are the gradients right?
#
# Move all entries of one weight a little along a random direction. The loss must change as the gradient says. The two
# columns agree to five digits or more.

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
    assert abs(measured - derived) < 1e-5 * abs(derived)

# %% [markdown]
# The library has the same networks in NumPy, `tfcells.from_scratch`, made faster. From the same weights they find the
# same loss and gradients, but for rounding.

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
apart = abs(cross_entropy.forward(library.forward(x), y).mean() - loss)
print(f"the losses differ by {apart:.1e}")
library.backward(cross_entropy.backward(1 / y.size))
for name, dense, own in zip(weights, library.gradients, gradients.values(), strict=True):
    dense = dense.dense(own) if name == "E" else dense
    assert np.abs(dense - own).max() < 1e-12

# %% [markdown]
# ## Training
#
# Plain gradient descent at learning rate 2. If the norm of all gradients together exceeds 0.5, they are scaled down to it. The
# state after a window is the state before the next one. Gradients stop at the beginning of a window: this is truncated
# backpropagation through time.

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

# %% [markdown]
# The perplexity is $e$ to the loss. A perplexity of 200 means: as hard as a guess among 200 equally likely words. The pale curve is each
# window's, the dark one the mean of twenty windows.

# %% alt="Perplexity by training step, on a logarithmic scale. It falls steeply at first, then slowly."
mean = np.exp(np.convolve(losses, np.ones(20) / 20, "valid"))
plt.figure(figsize=(6, 3))
plt.semilogy(np.exp(losses), "C2", linewidth=0.7)
plt.semilogy(np.arange(19, len(losses)), mean, "C0", linewidth=2)
plt.title(f"Training takes the perplexity from {np.exp(losses[0]):,.0f} to about {mean[-1]:,.0f}")
plt.yticks([100, 200, 500, 1000, 2000], ["100", "200", "500", "1,000", "2,000"])
plt.minorticks_off()
plt.xlabel("training step")
plt.ylabel("perplexity")
plt.show()

# %% [markdown]
# ## A sample
#
# Each word is drawn with the probability that the network gives it, and is the next input. After so little training
# pairs of words make sense, sentences do not.

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
# `python train.py lstm --engine numpy` trains the same network in the size of Zaremba et al. (1409.2329): two layers of 200
# units, 13 epochs of the Penn Treebank, in half an hour. Below on the left are its curves: from epoch 6 on it learns its training text by heart, which
# does not help on other text ([notebook 7](07_regularise.ipynb) is about that). On the right is its result beside those of four other programs:
# *ours, graph* is the default engine of `train.py`, TensorLayer and tmatha are programs of others, whose logs are public.

# %% alt="Left: training perplexity falls from 272 to 41 in 13 epochs, validation perplexity from 181 to 119 and no further after epoch 5. Right: test perplexities of five programs, all between 113 and 117."
from benchmarks import published

curves = published.kept()["lstm small"]
tests = {name: test for name, (_, test) in curves.items()} | {"Zaremba et al.": 114.5}
names = sorted(tests, key=tests.get, reverse=True)
_, training, validation = zip(*curves["ours, numpy"][0])
_, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3), width_ratios=(3, 2))
for values, name, color in ((training, "training", "C1"), (validation, "validation", "C0")):
    left.plot(range(1, 14), values, color)
    left.text(13.3, values[-1], name, color=color, va="center")
left.set(xlabel="epoch", ylabel="perplexity", ylim=(0, None), xticks=range(1, 14, 2))
left.set_title("Validation stops improving after epoch 5")
right.plot([tests[name] for name in names], names, "oC0")
for name in names:
    right.annotate(f"{tests[name]:.1f}", (tests[name], name), (7, -3), textcoords="offset points")
right.set(xlabel="test perplexity", xlim=(112, 119))
right.set_title("Five programs agree within 3 %")
plt.show()

# %% [markdown]
# ## Exercises
#
# 1. Leave out the factor $i(1-i)$ in `lstm_backward`. Which checks notice? *Hint*: it is part of $\delta a^i$; which weights
#    does $a$ read?
# 2. Write a GRU, forward and backward, and check its gradients. *Hint*: `import tfcells; help(tfcells.GRUCell)` has the equations, in which
#    `s` is the sigmoid.
# 3. Start the forget gate's bias at 1. Does training go faster? *Hint*: its bias is the second quarter of `b`; compare
#    the mean of the last twenty losses, for several seeds in `draw_weights`.
