"""Classify sequences of different lengths: handwritten digits, read dot by dot.

Shows masks, and a layer-norm LSTM with Zoneout. Each of scikit-learn's 1,797 digits, 8 x 8 pixels, becomes the sequence
of its inked pixels (row, column, ink), row by row: 16 to 42 steps.

Prints the accuracy on a fifth of the digits, which training has not seen, beside that of the nearest class mean of
averaged dots, and that more padding changes nothing. Needs scikit-learn. Takes half a minute on two cores, with --small
a few seconds.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

import tfcells


def sequences(images):
    """The inked pixels of each image, (images, steps, 3), padded with zeros, and how many each has."""
    found = []
    for image in images / 16:
        rows, columns = np.nonzero(image)
        found.append(np.stack([rows / 7, columns / 7, image[rows, columns]], axis=1))
    lengths = np.array([len(dots) for dots in found])
    padded = np.zeros((len(found), max(lengths), 3), "float32")
    for row, dots in zip(padded, found):
        row[: len(dots)] = dots
    return padded, lengths


def nearest_mean(x, lengths, y, train):
    """The class with the nearest mean of the average dot and the number of dots, which knows nothing of order."""
    features = np.column_stack([x.sum(axis=1) / lengths[:, None], lengths / 50])
    means = np.stack([features[train][y[train] == digit].mean(axis=0) for digit in np.unique(y)])
    return np.square(features[:, None] - means).sum(axis=2).argmin(axis=1)


def build(units):
    x = keras.Input((None, 3))
    seen = keras.layers.Masking()(x)  # steps of zeros are padding: a dot has ink
    cell = tfcells.Zoneout(tfcells.LayerNormLSTMCell(units), 0.05)
    return keras.Model(x, keras.layers.Dense(10)(tfcells.RNN(cell)(seen)))


def main(small=False):
    keras.utils.set_random_seed(1)
    images, y = load_digits(n_class=4 if small else 10, return_X_y=True)
    x, lengths = sequences(images.reshape(-1, 8, 8))
    order = np.random.default_rng(1).permutation(len(x))
    test, train = np.split(order, [len(order) // 5])

    model = build(32 if small else 64)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2 if small else 3e-3, clipnorm=1.0), loss, metrics=["accuracy"])
    model.fit(x[train], y[train], epochs=15 if small else 40, verbose=0 if small else 2)

    logits = model.predict(x[test], verbose=0)
    longer = model.predict(np.pad(x[test], ((0, 0), (0, 30), (0, 0))), verbose=0)
    right = {"LSTM": logits.argmax(axis=1), "nearest class mean": nearest_mean(x, lengths, y, train)[test]}
    right = {name: np.mean(predicted == y[test]) for name, predicted in right.items()}
    print("accuracy: " + ", ".join(f"{name} {share:.1%}" for name, share in right.items()))
    print(f"30 more steps of padding change the logits by {np.abs(longer - logits).max():.0e} at most")
    return right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="learn less, in a few seconds")
    main(**vars(parser.parse_args()))
