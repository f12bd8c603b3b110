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
# Noise keeps a network from learning its training text by heart. The kinds differ in where it acts, and how long one
# mask lasts. Here the masks are drawn, then what they do to a learning curve.
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
import logging

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import tfcells
from lab.tasks.corpus import load_corpus, windows

logging.getLogger("tensorflow").setLevel("ERROR")
FULL = os.environ.get("TFCELLS_NOTEBOOKS", "full") == "full"

# %% [markdown]
# ## A probe
#
# A cell that does next to nothing: its kernel, the identity, reads a state of ones, its update is one, and its state
# counts up by the update. `tfcells.trace` shows all three along time.

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


# %%


def look(wrap):
    """What a wrapped probe reads, updates and keeps along a sequence: three pictures."""
    layer = tfcells.RNN(wrap(Probe()))
    found = tfcells.trace(layer, np.zeros((1, STEPS, 1), "float32"), training=True)
    return [found[name][0] for name in ("kernel", "update", "state.s")]


# %%


def draw(title, pictures):
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.2), layout="constrained")
    for place, (name, values) in zip(axes, pictures.items()):
        values = ops.convert_to_numpy(values)
        place.imshow(values.T, cmap="Greys", vmin=0, vmax=max(1.0, values.max()), aspect="auto")
        place.set_title(name, fontsize="small")
        place.set_xlabel("step")
        place.set_yticks([])
    axes[0].set_ylabel("unit")
    figure.suptitle(title)
    plt.show()


def show(title, wrap):
    names = "what the kernel reads", "the update", "the state"
    draw(title, dict(zip(names, look(wrap))))


# %%
show("no noise", lambda cell: cell)

# %% [markdown]
# ## Inputs and outputs
#
# Ordinary dropout has a new mask for each step. `VariationalDropout` keeps one for the sequence, of inputs and of outputs
# alike, and word dropout takes a word wherever it stands (Gal & Ghahramani, 2016).

# %%
ones, words = ops.ones((1, STEPS, UNITS)), np.arange(STEPS)[None] % 5
variational = tfcells.VariationalDropout(Probe(), input_rate=0.4)
variational.build((1, UNITS))
w = variational.bind(tfcells.Call(STEPS, 1, UNITS, training=True))
draw(
    "five words in turn, each a vector of ones",
    {
        "Dropout(0.4)": keras.layers.Dropout(0.4)(ones, training=True)[0],
        "VariationalDropout(input_rate=0.4)": variational.inputs(ones[0][:, None], w)[:, 0],
        "WordDropout(5, 0.4)": tfcells.WordDropout(5, 0.4)([words, ones], training=True)[0],
    },
)

# %% [markdown]
# ## Variational dropout
#
# One mask for the whole sequence on what the kernels read: stripes along time. Update and state are untouched
# (Gal & Ghahramani, 2016).

# %%
show("VariationalDropout(state_rate=0.4)", lambda cell: tfcells.VariationalDropout(cell, state_rate=0.4))

# %% [markdown]
# ## Recurrent dropout
#
# On the update, anew at each step: nothing that is remembered is lost, some of it comes later (Semeniuta et al.,
# 2016).

# %%
show("RecurrentDropout(0.4)", lambda cell: tfcells.RecurrentDropout(cell, 0.4))

# %% [markdown]
# ## Zoneout
#
# Some units keep exactly the state they had (Krueger et al., 2017).

# %%
show("Zoneout(0.4)", lambda cell: tfcells.Zoneout(cell, 0.4))

# %% [markdown]
# ## Weight drop
#
# Entries of the kernel count as zero for the whole sequence, the same for all samples (Merity et al., 2018). This
# probe's kernel is the identity, so whole units vanish.

# %%
show("WeightDrop(0.4)", lambda cell: tfcells.WeightDrop(cell, 0.4))

# %% [markdown]
# ## What it does to learning
#
# A language model of the text that comes with Python: large for so small a text, so it overfits.

# %%
corpus = load_corpus("pydoc")
V, BATCH, WINDOW, WIDTH = len(corpus.vocabulary), 20, 25, 128 if FULL else 16
EPOCHS = 20 if FULL else 2
train = windows(corpus.train, BATCH, WINDOW)
valid = windows(corpus.valid, BATCH, WINDOW)
train, valid = (part if FULL else part.take(8) for part in (train, valid))


# %%


def curve(wrap, input_rate=0.0):
    """Perplexity of training and validation by epoch."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(V, WIDTH),
            keras.layers.Dropout(input_rate),
            tfcells.RNN(wrap(tfcells.LSTMCell(WIDTH)), return_sequences=True),
            keras.layers.Dropout(input_rate),
            keras.layers.Dense(V),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3, clipnorm=1.0), loss)
    history = model.fit(
        train, validation_data=valid, epochs=EPOCHS, shuffle=False, verbose=0
    ).history
    return np.exp(history["loss"]), np.exp(history["val_loss"])


# %%
KINDS = {
    "none": (lambda cell: cell, 0.0),
    "between the layers": (lambda cell: cell, 0.4),
    "and variational": (lambda cell: tfcells.VariationalDropout(cell, state_rate=0.3), 0.4),
    "and recurrent dropout": (lambda cell: tfcells.RecurrentDropout(cell, 0.3), 0.4),
    "and zoneout": (lambda cell: tfcells.Zoneout(cell, 0.1), 0.4),
    "and weight drop": (lambda cell: tfcells.WeightDrop(cell, 0.4), 0.4),
}

# %%
STYLES = "-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))
figure, axes = plt.subplots(figsize=(6.5, 3.5))
for (name, kind), style in zip(KINDS.items(), STYLES):
    trained, validated = curve(*kind)
    (line,) = axes.plot(range(1, EPOCHS + 1), validated, linestyle=style, label=name)
    axes.plot(range(1, EPOCHS + 1), trained, linestyle=style, color=line.get_color(), alpha=0.35)
    print(f"{name:20} training {trained[-1]:6.1f}, validation at best {validated.min():6.1f}")
axes.set(xlabel="epoch", ylabel="perplexity", yscale="log", title="validation; paler: training")
axes.legend()
plt.show()
