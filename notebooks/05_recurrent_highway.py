# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Depth inside a step
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/05_recurrent_highway.ipynb)
#
# A recurrent highway network (Zilly et al., 2017) goes through several layers between one word and the next. At equal
# numbers of parameters, is it better to be wide or deep? And what do its gates do?
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
DEPTHS, EPOCHS, BUDGET, WIDTH = ((1, 2, 3, 5), 12, 150_000, 96) if FULL else ((1, 2), 1, 4_000, 12)

# %% [markdown]
# ## One step
#
# With $s_0$ the state of the step before, for each layer $l$, and the input in the first one only:
#
# $$g_l = \tanh([l = 1] W_g x + R_g^l s_{l-1} + b_g^l), \quad t_l = \sigma([l = 1] W_t x + R_t^l s_{l-1} + b_t^l)$$
#
# $$s_l = g_l \odot t_l + s_{l-1} \odot (1 - t_l)$$
#
# Where the transform gate $t$ is closed the state is carried on as it is.
#
# ## Equal budgets
#
# A recurrence of depth $L$ and width $n$ has $2n(e + Ln + L)$ parameters for inputs of width $e$, and the map from it
# back to that width $ne$.

# %%


def width(depth, budget=BUDGET):
    """The largest width within the budget."""
    n = 1
    while (n + 1) * (2 * (WIDTH + depth * (n + 1) + depth) + WIDTH) <= budget:
        n += 1
    return n


# %%
corpus = load_corpus("pydoc")
V = len(corpus.vocabulary)
train, valid = (windows(part, 20, 25) for part in (corpus.train, corpus.valid))
train, valid = (part if FULL else part.take(4) for part in (train, valid))


# %%


def build(depth):
    cell = tfcells.RHNCell(width(depth), depth=depth, transform_bias=-2.0)
    cell = tfcells.VariationalDropout(cell, input_rate=0.3, state_rate=0.2, output_rate=0.3)
    return keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(V, WIDTH),
            tfcells.RNN(cell, return_sequences=True),
            keras.layers.Dense(WIDTH, use_bias=False),  # so that width does not change the softmax
            keras.layers.Dense(V),
        ]
    )


# %%
models, best = {}, {}
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for depth in DEPTHS:
    keras.utils.set_random_seed(0)
    models[depth] = build(depth)
    models[depth].compile(keras.optimizers.Adam(4e-3, clipnorm=1.0), loss)
    fit = models[depth].fit(train, validation_data=valid, epochs=EPOCHS, shuffle=False, verbose=0)
    best[depth] = np.exp(min(fit.history["val_loss"]))
    cell = models[depth].layers[1].cell
    counted = [*cell.trainable_weights, *models[depth].layers[2].trainable_weights]
    count = sum(int(np.prod(weight.shape)) for weight in counted)
    print(f"depth {depth}, {cell.units} units, {count:,} parameters: perplexity {best[depth]:.1f}")

# %%
plt.figure(figsize=(4, 2.6))
plt.plot(list(best), list(best.values()), "ko-")
plt.xlabel("depth of a step")
plt.ylabel("validation perplexity")
plt.xticks(DEPTHS)
plt.show()

# %% [markdown]
# The text is small, and so are these networks. On Penn Treebank, with 23 million parameters, the authors go from
# test perplexity 90.6 at depth 1 to 66.0 at depth 10.
#
# ## The gates
#
# The deepest of these networks, along a sentence: how far each layer's transform gate is open. `tfcells.trace` shows what
# a cell does along time; this one names its gates `t`.

# %%
deepest = models[DEPTHS[-1]]
sentence = corpus.valid[:14]
embedding, layer = deepest.layers[:2]
opened = tfcells.trace(layer, embedding(sentence[None]))["t"][0]  # (words, depth, units)

figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
image = axes.imshow(opened.mean(-1).T, cmap="Greys", aspect="auto", vmin=0)
axes.set_xticks(
    range(len(sentence)), [corpus.vocabulary[n] for n in sentence], rotation=45, ha="right"
)
axes.set_yticks(range(cell.cell.depth), range(1, cell.cell.depth + 1))
axes.set_ylabel("layer")
figure.colorbar(image, label="transform gate, mean over units")
plt.show()
