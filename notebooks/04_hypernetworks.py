# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A network that writes another one's weights
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/04_hypernetworks.ipynb)
#
# **You learn** what a hypernetwork is, and how to look into any cell with `tfcells.trace`. In a HyperLSTM (Ha, Dai & Le,
# 1609.09106) a small LSTM watches the main one, and scales the rows of its weights at every step. We train one on
# characters, then draw the weights that it generates along a text.
#
# **Takes** a minute on two cores. **Next**: [05_recurrent_highway](05_recurrent_highway.ipynb), depth inside a step.

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
import keras
import matplotlib.pyplot as plt
import numpy as np

import tfcells
from lab.tasks.corpus import load_corpus, windows

FULL = os.environ.get("TFCELLS_NOTEBOOKS") != "small"  # the tests run a small one
plt.style.use(os.path.join(root, "notebooks/plots.mplstyle"))
ROUNDS, UNITS, HYPER, SIGNAL = (8, 128, 32, 4) if FULL else (2, 24, 8, 2)
STEPS = 50 if FULL else 2  # in each round

# %% [markdown]
# ## The equations
#
# The small LSTM reads the input $x_t$ and the main one's output $h_{t-1}$. Its own output is $\hat h_t$. For each gate $y$ of
# the main LSTM, and each of its kernel $W^y$, recurrent kernel $U^y$ and bias $b^y$ ($k = x, h, b$), two linear maps follow one another.
# The first makes a short signal $z^y_k$ of $\hat h_t$, the second a vector $d^y_k$ as wide as the main LSTM. (Vectors are columns here:
# $Wx$ is notebook 1's $xW$.)
#
# $$z^y_k = Z^y_k \hat h_t + e^y_k, \qquad d^y_k = A^y_k z^y_k$$
#
# $$a^y = d^y_x \odot W^y x_t + d^y_h \odot U^y h_{t-1} + d^y_b + b^y$$
#
# $Z$, $e$ and $A$ are learned ($e_b = 0$), and $\odot$ multiplies element by element. So each row of $U$ is scaled anew at each step: a
# weight that changes, at the price of a vector. The rest is an ordinary LSTM, here with layer normalization.

# %%
cell = tfcells.HyperLSTMCell(UNITS, hyper_units=HYPER, embedding_units=SIGNAL, layer_norm=True)
corpus = load_corpus("pydoc", level="char")
V = len(corpus.vocabulary)
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((None,)),
        keras.layers.Embedding(V, V, embeddings_initializer="identity", trainable=False),
        tfcells.RNN(cell, return_sequences=True),
        keras.layers.Dense(V),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0), loss)
train, valid = (windows(part, 32, 80) for part in (corpus.train, corpus.valid))
history = model.fit(
    train.repeat(),
    epochs=ROUNDS,
    steps_per_epoch=STEPS,
    validation_data=valid.take(10 if FULL else 2),
    shuffle=False,
    verbose=0,
).history

# %% [markdown]
# Bits per character is the loss with the logarithm to base 2: 1 bit is a choice between two equally likely characters. All characters
# alike would be $\log_2 48 = 5.6$. Training is above validation here, as its values are means over the steps before.

# %% alt="Bits per character by training step, for training and validation. Both fall quickly at first, then slowly."
plt.figure(figsize=(5, 2.5))
for name, label, color in (("loss", "training", "C1"), ("val_loss", "validation", "C0")):
    bits = np.array(history[name]) / np.log(2)
    plt.plot(STEPS * np.arange(1, ROUNDS + 1), bits, color)
    shift = (5, 4 if name == "loss" else -10)
    plt.annotate(label, (STEPS * ROUNDS, bits[-1]), shift, textcoords="offset points", color=color)
plt.title(f"After {STEPS * ROUNDS} steps: {bits[-1]:.2f} bits per character")
plt.xlabel("training step")
plt.ylabel("bits per character")
plt.ylim(0, None)
plt.show()

# %% [markdown]
# ## The weights along a text
#
# `tfcells.trace` returns what a cell computes at each step, by name. This cell marks its vectors as `d`. We take those that scale
# the recurrent kernel, $d_h$.

# %%
text = "the value of an expression is the object that it names"
embedding, layer = model.layers[:2]


def scales(tokens):
    """What multiplies the rows of U: (texts, characters, gates, units)."""
    d = tfcells.trace(layer, embedding(tokens))["d"]  # of x, h, b in turn, each for i, f, g, o
    return d.reshape(*tokens.shape, 3, 4, UNITS)[:, :, 1]


found = scales(np.array([corpus.encode(text)]))[0]
found.shape

# %% [markdown]
# The upper part shows the scales of one gate, a row for each unit, less the unit's mean. The rows are sorted, so that units that change
# alike are neighbors; `_` is a space. The lower part shows how far the scales of each gate move from one character to the next (root mean square over units).

# %% alt="Two heat maps along a sentence. Above, the scales of the output gate: vertical stripes, as all units change together, some up while the others go down. Below, a row for each gate, dark where its scales change."
moved = np.sqrt((np.diff(found, axis=0, prepend=found[:1]) ** 2).mean(-1))
drawn = (found[:, 3] - found[:, 3].mean(0)).T
drawn = drawn[np.argsort(np.linalg.svd(drawn)[0][:, 0])]
limit = np.abs(drawn).max()
_, (above, below) = plt.subplots(2, 1, figsize=(10, 4), sharex=True, height_ratios=(3, 2))
image = above.imshow(drawn, cmap="PuOr", vmin=-limit, vmax=limit)
above.set(ylabel="units, sorted", yticks=[], title="Output gate: its units change together, up or down")
plt.colorbar(image, ax=above, label="less its mean")
image = below.imshow(moved.T, vmin=0)
below.set_yticks(range(4), ["input gate", "forget gate", "candidate", "output gate"])
below.set_xticks(range(len(text)), [c if c != " " else "_" for c in text])
below.set_title("All gates: change since the last character")
plt.colorbar(image, ax=below, label="change")
plt.show()

# %% [markdown]
# The units of a gate move together, some up while the others go down: behind all 128 scales there is a signal of four numbers.
#
# ## Where they change most
#
# One sentence proves little. So we measure the same change on validation text, and average by the character that was just read, for
# all that occur ten times or more. `_` is a space, `¶` the end of a sentence.

# %% alt="Bars, sorted: mean change of the scales by the character read, from the end of a sentence and the space, the highest, down to half as much."
x = next(iter(valid))[0].numpy()
change, read = np.sqrt((np.diff(scales(x), axis=1) ** 2).mean((2, 3))), x[:, 1:]
often = [n for n in range(V) if (read == n).sum() >= 10]
means = {corpus.vocabulary[n]: change[read == n].mean() for n in often}
characters = sorted(means, key=means.get, reverse=True)

plt.figure(figsize=(8, 2.5))
signs = {" ": "_", "<eos>": "¶"}
names, colors = zip(*((signs.get(c, c), "C1" if c in signs else "C0") for c in characters))
plt.bar(names, [means[c] for c in characters], color=colors)
plt.title("How far the scales move at each character (orange: ends of words and sentences)")
plt.xlabel("character read")
plt.ylabel("change of the scales")
plt.show()

# %% [markdown]
# The scales move most where a sentence or a word ends: what comes next depends little on the letters before. But the lead is small
# after so short a training; the least of the letters still has more than half. `<` and `>` are
# those of `<unk>`, which stands for rare words.

# %% [markdown]
# ## Exercises
#
# 1. Draw the scales of the kernel, $d_x$, in place of $d_h$. Do they change at the same places? *Hint*: the first of the
#    three in `scales`.
# 2. Is it worth it? Train an LSTM of as many parameters. *Hint*: `tfcells.LayerNormLSTMCell`; compare
#    `model.count_params()`.
# 3. Trace another cell, for example the forget gate of an LSTM. *Hint*: `sorted(tfcells.trace(layer, x))` lists the names.
