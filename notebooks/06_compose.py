# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Cells in Keras models
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfcells/tfcells/blob/main/notebooks/06_compose.ipynb)
#
# **You learn** to use the library's cells wherever Keras takes a recurrent layer: masks, `fit`, stacks, both directions, states,
# attention, a cell of one's own, saving, export, several devices. Each section has one model.
#
# **Takes** half a minute on two cores. **Next**: [07_regularise](07_regularise.ipynb), what each dropout does.

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
import tempfile

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import ops

import tfcells

keras.utils.set_random_seed(1)
FULL = os.environ.get("TFCELLS_NOTEBOOKS") != "small"  # the tests run a small one
plt.style.use(os.path.join(root, "notebooks/plots.mplstyle"))
EPOCHS = 12 if FULL else 2
tf.get_logger().setLevel("ERROR")
cpu = tf.config.list_physical_devices("CPU")[0]  # two logical ones in its place: for the last cell
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

# %% [markdown]
# ## A task
#
# Two numbers of a sequence are marked. Is their sum above 1? Each step has a number and a mark. Sequences have 5 to 20 steps; the
# rest is padding, zeros.

# %%


def draw(count, seed):
    random = np.random.default_rng(seed)
    x = np.zeros((count, 20, 2), "float32")
    y = np.zeros((count, 1), "float32")
    for row in range(count):
        length = random.integers(5, 21)
        x[row, :length, 0] = random.uniform(0.01, 1, length)
        marked = random.choice(length, 2, replace=False)
        x[row, marked, 1] = 1
        y[row] = x[row, marked, 0].sum() > 1
    return x, y


train, valid, test = draw(2000 if FULL else 200, 0), draw(500, 1), draw(500, 2)

# %% [markdown]
# ## Functional, and masks
#
# `Masking` marks the padded steps, and a masked step leaves the state as it is. So seven more steps of padding change no bit of the
# answer.

# %%
inputs = keras.Input((None, 2))
x = keras.layers.Masking()(inputs)
x = tfcells.RNN(tfcells.LayerNormLSTMCell(24))(x)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))

padded = np.pad(test[0], [(0, 0), (0, 7), (0, 0)])
np.testing.assert_array_equal(model.predict(test[0], verbose=0), model.predict(padded, verbose=0))

# %% [markdown]
# ## `fit`, with callbacks
#
# Training stops when the validation accuracy has not improved for five epochs, and goes back to the best. So validation data have
# had a part in it; the share in the title is that of the test data. A blind guess has 50 %.

# %%
model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", metrics=["accuracy"])
stop = keras.callbacks.EarlyStopping("val_accuracy", patience=5, restore_best_weights=True)
history = model.fit(
    *train, validation_data=valid, epochs=EPOCHS, batch_size=50, callbacks=[stop], verbose=0
)

right = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]

# %% alt="Accuracy by epoch, for training and validation. Both rise within four epochs, from 60 and 77 % to 95 %, and go on to waver."
plt.figure(figsize=(5, 2.5))
for name, label, color in (("accuracy", "training", "C1"), ("val_accuracy", "validation", "C0")):
    values = 100 * np.array(history.history[name])
    plt.plot(range(1, len(values) + 1), values, color, label=label)
plt.title(f"The answer is right for {100 * right:.0f} % of unseen sequences")
plt.xlabel("epoch")
plt.ylabel("accuracy, %")
plt.legend(frameon=False, loc="lower right")
plt.show()

# %% [markdown]
# ## Stacks
#
# A list of cells is one layer with a stack inside. Cells may differ, and each has its own regularizer. The output is the last
# cell's: 4 sequences, 16 units.

# %%
stack = tfcells.RNN(
    [
        tfcells.VariationalDropout(tfcells.GRUCell(16), input_rate=0.1, state_rate=0.2),
        tfcells.Zoneout(tfcells.RHNCell(16, depth=3), 0.1),
        tfcells.WeightDrop(tfcells.RecurrentDropout(tfcells.LSTMCell(16), 0.1), 0.3),
    ]
)
print(stack(train[0][:4]).shape)

# %% [markdown]
# ## In both directions
#
# Keras's `Bidirectional` makes a second, reversed layer and joins the outputs: 8 and 8 units at each of 20 steps.

# %%
both = keras.layers.Bidirectional(
    tfcells.RNN(tfcells.PeepholeLSTMCell(8), return_sequences=True), merge_mode="concat"
)
print(both(train[0][:4]).shape)

# %% [markdown]
# ## State that is carried along
#
# With `stateful=True` a call goes on where the last one ended. So two halves of a sequence give what the whole gives.

# %%
layer = tfcells.RNN(tfcells.HyperLSTMCell(8, hyper_units=4), stateful=True, return_sequences=True)
whole = ops.convert_to_numpy(layer(train[0][:4]))
layer.reset_state()
halves = [ops.convert_to_numpy(layer(part)) for part in np.split(train[0][:4], 2, axis=1)]
np.testing.assert_allclose(np.concatenate(halves, 1), whole, atol=1e-6)

# %% [markdown]
# ## Attention over a memory
#
# `Attention` lets any cell read a second sequence, the memory, at each step (Bahdanau et al., 1409.0473). Here each of 4 memories has 9 rows of
# 6 features.

# %%
memory = keras.Input((None, 6))
queries = keras.Input((None, 2))
attention = tfcells.Attention(tfcells.GRUCell(8), attention_units=4, memory_features=6)
reader = keras.Model([queries, memory], tfcells.RNN(attention)(queries, memory=memory))
print(reader([train[0][:4], np.ones((4, 9, 6), "float32")]).shape)

# %% [markdown]
# ## A cell of one's own, in twelve lines
#
# A minimal gated unit (after Zhou et al., 1603.09420): one gate $f$ both forgets and lets in. With input $x$, state $h$, weights $W$,
# $U$, $b$ and the sigmoid $\sigma$ (`s` in the code):
#
# $$f = \sigma(W_f x + U_f h + b_f), \qquad h' = (1 - f) \odot h + f \odot \tanh(W_g x + b_g + f \odot U_g h)$$
#
# `GatedCell` declares the weights and multiplies all inputs at once; `step` is the equation. `w` holds the weights, and
# `w.recurrent_kernel(h)` multiplies. `w.update(...)` marks what is new, for `RecurrentDropout`. The compiled loop, masks,
# gradients, wrappers and saving come with it. `tfcells.MGUCell` is the paper's own, with $U_g(f \odot h)$.

# %%


class MinimalGatedCell(tfcells.GatedCell):
    """f = s(W_f x + U_f h + b_f);  h' = (1 - f) h + f tanh(W_g x + b_g + f (U_g h))."""

    gates = 2

    def step(self, x, state, w):
        (h,) = state
        x_f, x_g = ops.split(x, 2, axis=-1)
        h_f, h_g = ops.split(w.recurrent_kernel(h), 2, axis=-1)
        f = self.recurrent_activation(x_f + h_f)
        h = (1 - f) * h + f * w.update(self.activation(x_g + f * h_g))
        return h, (h,)


own = tfcells.RNN(tfcells.VariationalDropout(MinimalGatedCell(16), state_rate=0.2))
print(own(train[0][:4], training=True).shape, len(own.trainable_weights), "weights")

# %% [markdown]
# ## Saving
#
# The `.keras` file holds configuration and weights. The model that is loaded gives the same bits.

# %%
with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/model.keras")
    again = keras.saving.load_model(f"{folder}/model.keras")
np.testing.assert_array_equal(model.predict(test[0], verbose=0), again.predict(test[0], verbose=0))

# %% [markdown]
# ## Exporting
#
# In a portable copy the loops are ordinary ones, which any TensorFlow can run, without this library. Its outputs are the same but
# for rounding.

# %%
with tempfile.TemporaryDirectory() as folder:
    tfcells.portable(model).export(folder, verbose=False)
    exported = tf.saved_model.load(folder)
    served = exported.serve(test[0])
np.testing.assert_allclose(served, model.predict(test[0], verbose=0), atol=1e-5)

# %% [markdown]
# ## A training loop of one's own
#
# A tape inside `tf.function` works as with any layer. These are the losses of five batches, mostly far below
# 0.69, that of a guess between two classes, as the model is trained.

# %%
optimizer, loss = keras.optimizers.Adam(1e-2), keras.losses.BinaryCrossentropy()


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        value = loss(y, model(x, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return value


for x, y in tf.data.Dataset.from_tensor_slices(train).batch(50).take(5):
    print(f"{float(step(x, y)):.3f}", end=" ")

# %% [markdown]
# ## On several devices
#
# `MirroredStrategy` splits each batch among devices. Here two logical processors, set up at the top, stand for them.

# %%
strategy = tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices("CPU")])
with strategy.scope():
    spread = keras.Sequential([tfcells.RNN(tfcells.RHNCell(8)), keras.layers.Dense(1)])
    spread.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
spread.fit(*train, epochs=1, batch_size=100, verbose=0)
print(strategy.num_replicas_in_sync, "replicas")

# %% [markdown]
# ## Exercises
#
# 1. Solve the task with `MinimalGatedCell`. *Hint*: replace the cell in the first model.
# 2. Make `MinimalGatedCell` show its gate to `tfcells.trace`, and draw it along a sequence. Where is it open? *Hint*:
#    `f = w.mark("f", f)`.
# 3. Mark three numbers in place of two, and ask for a sum above 1.5. Which cell learns it fastest? *Hint*: `tfcells.cells.table()`
#    lists all.
