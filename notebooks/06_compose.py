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
# A cell is a layer of Keras, so it goes wherever Keras lets a recurrent layer go. One model a cell of this
# notebook.
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
import tempfile

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import ops

import tfcells

FULL = os.environ.get("TFCELLS_NOTEBOOKS", "full") == "full"
EPOCHS = 12 if FULL else 2
tf.get_logger().setLevel("ERROR")
cpu = tf.config.list_physical_devices("CPU")[0]  # two logical ones in its place: for the last cell
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

# %% [markdown]
# A task to try them on: is the sum of the marked numbers above 1? Sequences have 5 to 20 steps; the rest is
# padding.

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


train, test = draw(2000 if FULL else 200, 0), draw(500, 1)

# %% [markdown]
# ## Functional, and masks
#
# `Masking` marks the padded steps; a masked step leaves the state as it is, bit for bit.

# %%
inputs = keras.Input((None, 2))
x = keras.layers.Masking()(inputs)
x = tfcells.RNN(tfcells.LayerNormLSTMCell(24))(x)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))

padded = np.pad(test[0], [(0, 0), (0, 7), (0, 0)])
np.testing.assert_array_equal(model.predict(test[0], verbose=0), model.predict(padded, verbose=0))

# %% [markdown]
# ## `fit`, with callbacks

# %%
model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", metrics=["accuracy"])
stop = keras.callbacks.EarlyStopping("val_accuracy", patience=5, restore_best_weights=True)
history = model.fit(
    *train, validation_data=test, epochs=EPOCHS, batch_size=50, callbacks=[stop], verbose=0
)
plt.figure(figsize=(5, 2.5))
plt.plot(history.history["accuracy"], "k--", label="training")
plt.plot(history.history["val_accuracy"], "k", label="validation")
plt.xlabel("epoch")
plt.ylabel("accuracy")
plt.legend()
plt.show()

# %% [markdown]
# ## Different cells on top of one another, each with its own regularizer
#
# A list of cells is one layer with a stack inside.

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

# %%
both = keras.layers.Bidirectional(
    tfcells.RNN(tfcells.PeepholeLSTMCell(8), return_sequences=True), merge_mode="concat"
)
print(both(train[0][:4]).shape)

# %% [markdown]
# ## State that is carried along
#
# In one call or in two: with `stateful=True` the second goes on where the first ended.

# %%
layer = tfcells.RNN(tfcells.HyperLSTMCell(8, hyper_units=4), stateful=True, return_sequences=True)
whole = ops.convert_to_numpy(layer(train[0][:4]))
layer.reset_state()
halves = [ops.convert_to_numpy(layer(part)) for part in np.split(train[0][:4], 2, axis=1)]
np.testing.assert_allclose(np.concatenate(halves, 1), whole, atol=1e-6)

# %% [markdown]
# ## Attention over a memory

# %%
memory = keras.Input((None, 6))
queries = keras.Input((None, 2))
attention = tfcells.Attention(tfcells.GRUCell(8), attention_units=4, memory_features=6)
reader = keras.Model([queries, memory], tfcells.RNN(attention)(queries, memory=memory))
print(reader([train[0][:4], np.ones((4, 9, 6), "float32")]).shape)

# %% [markdown]
# ## A cell of one's own, in twelve lines
#
# A minimal gated unit: one gate both forgets and lets in (after Zhou et al., 2016, whose gate comes before the product
# with $U_g$; `tfcells.MGUCell` has it after). `GatedCell` declares the kernels and multiplies all inputs at once; `step` is
# the equation. The compiled loop, masks, gradients, wrappers and saving come with it.

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
# The `.keras` file holds configuration and weights.

# %%
with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/model.keras")
    again = keras.saving.load_model(f"{folder}/model.keras")
np.testing.assert_array_equal(model.predict(test[0], verbose=0), again.predict(test[0], verbose=0))

# %% [markdown]
# ## Exporting
#
# In a portable copy the loops are ordinary ones (`jit_compile=False`), which any TensorFlow can run.

# %%
with tempfile.TemporaryDirectory() as folder:
    tfcells.portable(model).export(folder, verbose=False)
    exported = tf.saved_model.load(folder)
    served = exported.serve(test[0])
np.testing.assert_allclose(served, model.predict(test[0], verbose=0), atol=1e-5)

# %% [markdown]
# ## A training loop of one's own

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
# Here two logical processors, set up at the top, stand for them.

# %%
strategy = tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices("CPU")])
with strategy.scope():
    spread = keras.Sequential([tfcells.RNN(tfcells.RHNCell(8)), keras.layers.Dense(1)])
    spread.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
spread.fit(*train, epochs=1, batch_size=100, verbose=0)
print(strategy.num_replicas_in_sync, "replicas")
