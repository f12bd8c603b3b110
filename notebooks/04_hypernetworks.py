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
# In a HyperLSTM (Ha, Dai & Le, 2016) a small LSTM looks at what the main one reads and does, and at every step scales
# the rows of its weights. Here one reads characters, and the weights that it generates are drawn along the text.
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
import keras
import matplotlib.pyplot as plt
import numpy as np

import tfcells
from lab.tasks.corpus import load_corpus, windows

FULL = os.environ.get("TFCELLS_NOTEBOOKS", "full") == "full"
EPOCHS, UNITS, HYPER, SIGNAL = (6, 192, 48, 4) if FULL else (1, 24, 8, 2)

# %% [markdown]
# ## The equations
#
# The small LSTM reads $[x_t, h_{t-1}]$; its output $\hat h_t$ is turned into a short signal $z$ for each gate
# $y$, and that into a vector as wide as the main LSTM, one for each of $W$, $U$ and $b$:
#
# $$z^y_k = Z^y_k \hat h_t + e^y_k, \qquad d^y_k = A^y_k z^y_k \qquad (k = x, h, b; \; e_b = 0)$$
#
# $$a^y = d^y_x \odot W^y x_t + d^y_h \odot U^y h_{t-1} + d^y_b + b^y$$
#
# With layer normalization, as here, each $a^y$ is brought to mean 0 and variance 1 over its units, then scaled and
# shifted by vectors that are learnt; and so is the memory on its way to the output.
#
# So each row of $U$ is scaled anew at each step: a weight that changes, at the price of a vector.

# %%
cell = tfcells.HyperLSTMCell(UNITS, hyper_units=HYPER, embedding_units=SIGNAL, layer_norm=True)
corpus = load_corpus("pydoc", level="char")
V = len(corpus.vocabulary)
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
train, valid = (part if FULL else part.take(3) for part in (train, valid))
history = model.fit(train, validation_data=valid, epochs=EPOCHS, shuffle=False, verbose=0).history

plt.figure(figsize=(5, 2.5))
for name, style in (("loss", "k--"), ("val_loss", "k")):
    bits = np.array(history[name]) / np.log(2)
    plt.plot(range(1, EPOCHS + 1), bits, style, label={"loss": "training"}.get(name, "validation"))
plt.xlabel("epoch")
plt.ylabel("bits per character")
plt.legend()
plt.show()

# %% [markdown]
# ## The weights along a text
#
# Step by step, the small network's output gives the vectors $d_h$ that scale the recurrent weights. `tfcells.trace` shows
# what a cell does along time; this one names its vectors `d`.

# %%
text = "the value of an expression is the object that it names"
tokens = np.array([[corpus.vocabulary.index(c) for c in text]])
embedding, layer = model.layers[:2]
d = tfcells.trace(layer, embedding(tokens))["d"][0]  # of x, h, b in turn, and for each i, f, g, o
scales = d.reshape(len(text), 3, 4, UNITS)[:, 1]  # (characters, gates, units)
print(scales.shape)

# %%
figure, axes = plt.subplots(4, 1, figsize=(11, 6), sharex=True, layout="constrained")
for gate, (place, name) in enumerate(zip(axes, ("input", "forget", "candidate", "output"))):
    drawn = (scales[:, gate] - scales[:, gate].mean(0)).T
    limit = np.abs(drawn).max()
    image = place.imshow(drawn, cmap="RdGy", vmin=-limit, vmax=limit, aspect="auto")
    place.set_ylabel(f"{name} gate\nunits")
    figure.colorbar(image, ax=place, label="scale, less its mean")
axes[-1].set_xticks(range(len(text)), [c if c != " " else "_" for c in text])
plt.show()

# %% [markdown]
# ## Where they change most
#
# The size of the change of all scales from one character to the next: darker is more.

# %%
change = np.sqrt((np.diff(scales, axis=0) ** 2).sum((1, 2)))
change = np.concatenate([[0], change])
figure, axes = plt.subplots(figsize=(11, 0.8))
axes.imshow(change[None], cmap="Greys", aspect="auto", vmax=1.4 * change.max())
for n, c in enumerate(text):
    axes.text(n, 0, c, ha="center", va="center", family="monospace")
axes.set_axis_off()
plt.show()
space = np.array([c == " " for c in text])
before = np.roll(space, 1)
before[0] = False
print(f"after a space {change[before].mean():.3f}, elsewhere {change[1:][~before[1:]].mean():.3f}")
