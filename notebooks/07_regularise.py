# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What each dropout does
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/07_regularise.ipynb)
#
# **You learn** what each kind of dropout drops, and what it does to a learning curve. Noise keeps a network from learning its
# training text by heart. The kinds differ in where they act, and in how long one mask of dropped units lasts.
#
# **Takes** three minutes on two fast cores, up to ten on slow ones. This is the last of the notebooks; [Regularizers](../docs/regularizers.md) has all wrappers.

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
import logging

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import tfcells
from lab.tasks.corpus import load_corpus, windows

logging.getLogger("tensorflow").setLevel("ERROR")
FULL = os.environ.get("TFCELLS_NOTEBOOKS") != "small"  # the tests run a small one
plt.style.use(os.path.join(root, "notebooks/plots.mplstyle"))

# %% [markdown]
# ## A probe
#
# To see what a wrapper drops, we put it around a cell that does next to nothing. Its kernel, the identity, reads ones. Its update is one.
# Its state adds up the updates.

# %%
UNITS, STEPS = 12, 16


class Probe(tfcells.Cell):
    states = ("s",)
    slots = frozenset({"kernel", "update", "state"})
    units = UNITS

    def build(self, input_shape):
        self.declare("kernel", (UNITS, UNITS), "identity", reads="s")

    def step(self, x, state, w):
        (s,) = state
        w.kernel(ops.ones_like(s))
        s = s + w.update(ops.ones_like(s)) / STEPS
        return s, (s,)


# %% [markdown]
# `tfcells.trace` returns what a cell computes at each step, by name. Here are the three things of the probe, bare and in
# four wrappers, each at rate 0.4: its product with the kernel, its update and its state. White is zero, darker is more.

# %% alt="A grid of pictures, units by steps: the product with the kernel, the update and the state, without noise and for each of four wrappers." file="../docs/masks.png"
WRAPPERS = {
    "no noise": lambda cell: cell,
    "VariationalDropout": lambda cell: tfcells.VariationalDropout(cell, state_rate=0.4, seed=3),
    "RecurrentDropout": lambda cell: tfcells.RecurrentDropout(cell, 0.4, seed=3),
    "Zoneout": lambda cell: tfcells.Zoneout(cell, 0.4, seed=3),
    "WeightDrop": lambda cell: tfcells.WeightDrop(cell, 0.4, seed=3),
}
NAMES = {"kernel": "product with the kernel", "update": "the update", "state.s": "the state"}


def draw(place, values):
    """Units by steps, on a scale that ends a little above the largest value."""
    place.imshow(values.T, vmin=0, vmax=1.3 * values.max())
    place.set(xticks=[], yticks=[])
    place.spines[:].set_visible(True)


figure, axes = plt.subplots(len(WRAPPERS), 3, figsize=(7.5, 6))
figure.suptitle("What is dropped is white: by unit, by step, or by weight")
for row, (title, wrap) in zip(axes, WRAPPERS.items()):
    layer = tfcells.RNN(wrap(Probe()))
    found = tfcells.trace(layer, np.zeros((1, STEPS, 1), "float32"), training=True)
    for place, name in zip(row, NAMES):
        draw(place, found[name][0])
    row[0].set_ylabel(title, rotation=0, ha="right", va="center")
for place, name in zip(axes[0], NAMES.values()):
    place.set_title(name)
for place in axes[-1]:
    place.set_xlabel("steps")
plt.show()

# %% [markdown]
# - **VariationalDropout** (Gal & Ghahramani, 1512.05287) hides the same units from the kernel at every step: stripes along time. Update and
#   state are whole.
# - **RecurrentDropout** (Semeniuta et al., 1603.05118) drops updates, other ones at each step. A dropped update never
#   arrives; what the state holds already stays.
# - **Zoneout** (Krueger et al., 1606.01305) lets some units keep exactly the state they had: a shade that is two or more steps long. In
#   this probe it looks like RecurrentDropout. In an LSTM they differ: with a dropped update the forget gate still acts, with Zoneout the unit
#   skips the whole step.
# - **WeightDrop** (Merity et al., 1708.02182) drops entries of the kernel for the whole sequence. This kernel is the
#   identity, so whole units vanish. All samples of a batch have the same mask.
#
# ## Inputs
#
# Three kinds of noise on what a layer reads. Five words a to e come in turn, each a vector of ones. Ordinary dropout has a
# new mask for each step. `VariationalDropout` keeps one for the sequence. `WordDropout` takes whole words, wherever
# they stand: here c and e.

# %% alt="Three pictures, features by steps. Dropout: white squares at random. VariationalDropout: white stripes along time. WordDropout: the columns of the same words are white each time."
tokens = np.arange(STEPS)[None] % 5
ones = np.ones((1, STEPS, UNITS), "float32")
cell = tfcells.ElmanCell(UNITS, kernel_initializer="identity")  # its product is its input
variational = tfcells.VariationalDropout(cell, input_rate=0.4, seed=3)
pictures = {
    "Dropout(0.4)": keras.layers.Dropout(0.4, seed=3)(ones, training=True),
    "VariationalDropout(input_rate=0.4)": tfcells.trace(
        tfcells.RNN(variational), ones, training=True
    )["kernel"],
    "WordDropout(5, 0.4)": tfcells.WordDropout(5, 0.4, seed=3)([tokens, ones], training=True),
}
_, axes = plt.subplots(1, 3, figsize=(9, 2))
for place, (title, values) in zip(axes, pictures.items()):
    draw(place, ops.convert_to_numpy(values)[0])
    place.set_title(title)
    place.set_xticks(range(STEPS), ["abcde"[n] for n in tokens[0]])
axes[0].set_ylabel("features")
plt.show()

# %% [markdown]
# ## What it does to learning
#
# We train a language model on a sixth of the documentation that comes with Python, 24,500 words, in which all but the
# 2,000 commonest are `<unk>`. The network is large for so little text, so it overfits: it learns by heart, and gets worse on other
# text. All kinds but the first have ordinary dropout between the layers; the last four add a wrapper. Each is trained
# from two seeds. The output is the best validation perplexity of each, and its epoch. (A perplexity of 200 means: as hard
# as a guess among 200 equally likely words.)

# %%
common = load_corpus("pydoc").vocabulary[:2000]
corpus, V = load_corpus("pydoc", vocabulary=common), len(common)
SHARE, SEEDS, EPOCHS, WIDTH = (6, 2, 16, 128) if FULL else (60, 1, 2, 16)
train = windows(corpus.train, 20, 25).shard(SHARE, 0)  # every sixth window
valid = windows(corpus.valid, 20, 25).shard(SHARE // 3, 0)
LAYERS = 0.4  # rate of the dropout between the layers
KINDS = {
    "no noise": (lambda cell: cell, 0.0),
    "dropout between layers": (lambda cell: cell, LAYERS),
    "+ VariationalDropout": (lambda cell: tfcells.VariationalDropout(cell, state_rate=0.3), LAYERS),
    "+ RecurrentDropout": (lambda cell: tfcells.RecurrentDropout(cell, 0.2), LAYERS),
    "+ Zoneout": (lambda cell: tfcells.Zoneout(cell, 0.1), LAYERS),
    "+ WeightDrop": (lambda cell: tfcells.WeightDrop(cell, 0.4), LAYERS),
}


# %%


def curves(seed, wrap, rate):
    """Perplexity of training and validation by epoch."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(V, WIDTH),
            keras.layers.Dropout(rate),
            tfcells.RNN(wrap(tfcells.LSTMCell(WIDTH)), return_sequences=True),
            keras.layers.Dropout(rate),
            keras.layers.Dense(V),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3, clipnorm=1.0), loss)
    fit = model.fit(train, validation_data=valid, epochs=EPOCHS, shuffle=False, verbose=0)
    return np.exp(fit.history["loss"]), np.exp(fit.history["val_loss"])


found = {name: [curves(seed, *kind) for seed in range(SEEDS)] for name, kind in KINDS.items()}
best = {name: [validated.min() for _, validated in each] for name, each in found.items()}
for name, each in best.items():
    epochs = (f"{value:.1f} at epoch {1 + c[1].argmin():2}" for value, c in zip(each, found[name]))
    print(f"{name:23}", *epochs, sep="  ")

# %% [markdown]
# On the left, the curves of the first two kinds. On the right, the best validation perplexity of all kinds, sorted by mean.

# %% alt="Left, perplexity by epoch: training falls throughout, faster without noise; validation without noise rises after epoch 9, with dropout hardly. Right, best validation perplexity of six kinds, two seeds each, from Zoneout, 157, to RecurrentDropout, 162."
_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
for name, color, up in (("no noise", "C1", 2), ("dropout between layers", "C0", -9)):
    for values, style, part in zip(found[name][0], ("--", "-"), ("training", "validation")):
        left.semilogy(range(1, EPOCHS + 1), values, style, color=color)
        label = f"{part}, {name.removesuffix(' between layers')}"
        left.annotate(label, (EPOCHS, values[-1]), (4, up), textcoords="offset points", color=color)
turn = 1 + int(found["no noise"][0][1].argmin())
left.set_title(f"Without noise, validation rises after epoch {turn}")
left.set(xlabel="epoch", ylabel="perplexity", xticks=range(2, EPOCHS + 1, 2))
left.set_yticks([50, 100, 200, 500], [50, 100, 200, 500])
left.minorticks_off()
means = {name: np.mean(each) for name, each in best.items()}
for name in sorted(means, key=means.get, reverse=True):
    right.plot(best[name], [name] * SEEDS, "oC2")
    right.plot(means[name], [name], "|C0", markersize=14)
right.set(xlabel="best validation perplexity (dots: seeds, bar: mean)")
spread = max(means.values()) / min(means.values()) - 1
right.set_title(f"At their best epoch, all are within {100 * spread:.0f} %")
plt.show()

# %% [markdown]
# What do the data say? Without noise the network learns its text by heart: training goes on to fall while validation rises.
# With dropout between the layers it hardly rises, so that it matters little when to stop, but its best epoch is no better. The
# wrappers come on top of that dropout. Beside it alone `Zoneout` and `WeightDrop` gain 3 and 2 % with both seeds, `VariationalDropout`
# 1 %, no more than its two seeds differ, and `RecurrentDropout` nothing. Only `Zoneout` and `WeightDrop` are ahead of no noise, by 2
# and 1 %.
#
# Noise pays more where networks are larger: on the Penn Treebank it takes an LSTM's test perplexity from 103.3
# to 80.4 ([recipes](../docs/recipes.md#with-and-without-regularizers)).

# %% [markdown]
# ## Exercises
#
# 1. Draw `tfcells.VariationalDropout(cell, output_rate=0.4)`. Where is it to be seen? *Hint*: not in the three pictures of the
#    probe; `trace` has `"output"`.
# 2. Put `RecurrentDropout` inside `VariationalDropout`. Is it better than each alone? *Hint*: wrappers nest; lower both
#    rates, for noise adds up.
# 3. Train on half of the text. How much does noise still gain? *Hint*: `SHARE = 2`; the larger the text, the less there is to gain.
