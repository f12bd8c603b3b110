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
# **You learn** whether a recurrent network should be wide or deep, and how to tell from noisy results. A recurrent highway
# network (RHN; Zilly et al., 1607.03474) goes through several layers between one character and the next. We compare depths at equal
# numbers of parameters, with several seeds each. Then we look at the gates.
#
# **Takes** two minutes on two cores. **Next**: [06_compose](06_compose.ipynb), cells in Keras models.

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
DEPTHS, SEEDS, STEPS, BUDGET = ((1, 2, 3, 5), 3, 300, 60_000) if FULL else ((1, 2), 2, 2, 6_000)
FEATURES = 32  # of a character

# %% [markdown]
# ## One step
#
# The state of the step before enters as $s_0$, the input $x$ in the first layer only. Layer $l$ has a candidate $g_l$ and a
# transform gate $t_l$ between 0 and 1 ($W$, $R_l$, $b_l$ are weights, $\sigma$ is the sigmoid, $\odot$ multiplies element by element):
#
# $$g_l = \tanh([l = 1] W_g x + R_{g,l} s_{l-1} + b_{g,l}), \quad t_l = \sigma([l = 1] W_t x + R_{t,l} s_{l-1} + b_{t,l})$$
#
# $$s_l = g_l \odot t_l + s_{l-1} \odot (1 - t_l)$$
#
# Where the gate is closed, $t_l = 0$, the layer passes the state on as it is. The last $s_l$ is the output.
#
# ## Equal budgets
#
# Inputs of width $e$, depth $L$ and width $n$ make $2n(e + Ln + L)$ parameters. The map to $V$ scores has $(n + 1)V$. So a
# deeper network must be narrower. The embedding is the same in all.

# %%
corpus = load_corpus("pydoc", level="char")
V = len(corpus.vocabulary)
train, valid = (windows(part, 32, 50) for part in (corpus.train, corpus.valid))


def width(depth):
    """The largest number of units within the budget."""
    n = 1
    while 2 * (n + 1) * (FEATURES + depth * (n + 1) + depth) + (n + 2) * V <= BUDGET:
        n += 1
    return n


def build(depth):
    cell = tfcells.RHNCell(width(depth), depth=depth, transform_bias=-2.0)
    return keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(V, FEATURES),
            tfcells.RNN(cell, return_sequences=True),
            keras.layers.Dense(V),
        ]
    )


# %% [markdown]
# Each depth is trained from several seeds, always on the same text in the same order. Its score is the validation loss in bits per
# character: 2 bits are as hard as a guess among 4 equally likely characters.

# %%
models, bits = {}, {}
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for depth in DEPTHS:
    bits[depth] = []
    for seed in range(SEEDS):
        keras.utils.set_random_seed(seed)
        models[depth] = build(depth)
        models[depth].compile(keras.optimizers.Adam(4e-3, clipnorm=1.0), loss)
        models[depth].fit(train.take(STEPS), shuffle=False, verbose=0)
        found = models[depth].evaluate(valid if FULL else valid.take(2), verbose=0)
        bits[depth].append(found / np.log(2))
    told = " ".join(f"{each:.3f}" for each in bits[depth])
    print(f"depth {depth}, {width(depth):3} units, {models[depth].count_params():,} parameters: {told}")

# %% alt="Validation bits per character by depth, a dot for each seed, with a line through the means. Depth 1 is worst by far, depth 2 best, and from there it rises slowly to depth 5."
means = {depth: np.mean(each) for depth, each in bits.items()}
best = min(means, key=means.get)
plt.figure(figsize=(5, 3))
for depth, each in bits.items():
    plt.plot([depth] * SEEDS, each, "oC2")
plt.plot(list(means), list(means.values()), "C0")
plt.annotate("mean", (DEPTHS[0], means[DEPTHS[0]]), (8, 4), textcoords="offset points", color="C0")
plt.title(f"At equal parameters, depth {best} is best (dots: seeds)")
plt.xlabel("layers in a step")
plt.ylabel("bits per character")
plt.xticks(DEPTHS)
plt.show()

# %% [markdown]
# Depth pays: the worst seed of any deeper network beats the best seed of depth 1. Depth 2 is best here. Each of its seeds beats
# each seed of depth 3, by little. The ranges of the depths do not overlap. One seed each would have given the same order, but nobody could
# have known: the seeds of depth 1 lie further apart than the means of depths 2 and 5. Still deeper networks are narrower, and learn more slowly in so short a training.
#
# On the Penn Treebank, with 23 million parameters and long training, the authors go from test perplexity 90.6 at depth 1 to 66.0
# at depth 10, in their table of depths; their final run has 65.4.
#
# ## The gates
#
# How far is each layer's transform gate open, along a text? `tfcells.trace` returns what a cell computes at each step, by name; this
# cell marks its gates as `t`. We take the deepest network.

# %% alt="Heat map: mean transform gate by layer and character of a sentence. The row of layer 1 is dark throughout, those of layers 2 to 5 are pale."
text = "the value of an expression is the object that it names"
embedding, layer = models[DEPTHS[-1]].layers[:2]
tokens = np.array([corpus.encode(text)])
opened = tfcells.trace(layer, embedding(tokens))["t"][0].mean(-1)  # (characters, depth)

plt.figure(figsize=(10, 2.5))
plt.imshow(opened.T, vmin=0)
plt.title("The first layer, the one that reads the character, is the most open")
plt.xticks(range(len(text)), [c if c != " " else "_" for c in text])
plt.yticks(range(DEPTHS[-1]), range(1, DEPTHS[-1] + 1))
plt.ylabel("layer")
plt.colorbar(label="gate, mean of units")
plt.show()

# %% [markdown]
# At the start of training all gates had a mean of $\sigma(-2) = 0.12$. The first layer has learned to open: it must let the character in. The
# others change little at a step, so most of the state passes them as it is.

# %% [markdown]
# ## Exercises
#
# 1. Train three times as long. Does a deeper network overtake? *Hint*: `STEPS`; the text has 498 windows, so
#    `train.repeat().take(STEPS)`.
# 2. Open the gates at the start, `transform_bias=0.0`. Which depth does it hurt most? *Hint*: an argument in `build`; a layer that is open
#    overwrites what the one below it found.
# 3. Is an LSTM better at the same budget? *Hint*: `tfcells.LSTMCell(n)` has $4n(e + n + 1)$ parameters.
