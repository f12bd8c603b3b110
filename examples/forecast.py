"""Forecast a chaotic series: the Mackey-Glass equation, 20 steps ahead.

Shows a linear cell on long sequences: each of two layers of minGRU takes all 1,000 steps of a sequence at once. The
series is made here from its equation, x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, and observed with some noise.

Prints the error on the last fifth of the series, in standard deviations of the rest: of the network, the last value and
a linear regression on the last 40 values. Takes half a minute on two cores, with --small a few seconds.
"""

import argparse

import keras
import numpy as np

import tfcells

AHEAD, STEPS, LAGS = 20, 1000, 40


def mackey_glass(length, seed):
    """Values at whole times, by Euler's method in steps of 0.1, after 500 times to settle."""
    x = list(1.2 + 0.1 * np.random.default_rng(seed).normal(size=171))
    for _ in range(10 * (length + 500)):
        x.append(x[-1] + 0.1 * (0.2 * x[-171] / (1 + x[-171] ** 10) - 0.1 * x[-1]))
    return np.array(x[-10 * length :: 10])


def linear_regression(series, train):
    """Least squares from the last LAGS values to the one AHEAD of them, for all times."""
    lags = np.lib.stride_tricks.sliding_window_view(series, LAGS)[:-AHEAD]
    lags = np.column_stack([lags, np.ones(len(lags))])
    target = series[LAGS - 1 + AHEAD :]
    known = train - LAGS - AHEAD  # what test data has no part in
    weights = np.linalg.lstsq(lags[:known], target[:known], rcond=None)[0]
    return lags @ weights


def build(units):
    x = keras.Input((None, 1))
    h = keras.layers.Dense(units)(x)
    for _ in range(2):
        h = keras.layers.Add()([h, tfcells.RNN(tfcells.MinGRUCell(units), return_sequences=True)(h)])
        h = keras.layers.Dense(units, "gelu")(h)
    return keras.Model(x, keras.layers.Dense(1)(h))


def main(small=False):
    keras.utils.set_random_seed(1)
    series = mackey_glass(4_000 if small else 20_000, seed=1)
    train = len(series) * 4 // 5
    series = (series - series[:train].mean()) / series[:train].std()
    observed = series + 0.02 * np.random.default_rng(2).normal(size=len(series))

    starts = np.arange(0, train - STEPS - AHEAD, STEPS // 10)  # windows that overlap
    x = np.stack([observed[start : start + STEPS, None] for start in starts])
    y = np.stack([observed[start + AHEAD : start + AHEAD + STEPS, None] for start in starts])
    model = build(64)
    epochs = 10 if small else 40
    rate = keras.optimizers.schedules.CosineDecay(5e-3, epochs * -(-len(x) // 8))
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0 if small else 2)

    targets = series[train + AHEAD :]  # without the noise
    found = model.predict(observed[None, :-AHEAD, None], verbose=0)[0, train:, 0]  # any length will do
    forecasts = {
        "minGRU": found,
        "last value": observed[train:-AHEAD],
        "linear regression": linear_regression(observed, train)[train - LAGS + 1 :],
    }
    errors = {name: np.sqrt(np.square(values - targets).mean()) for name, values in forecasts.items()}
    print("error: " + ", ".join(f"{name} {error:.3f}" for name, error in errors.items()))
    return errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="learn less, in a few seconds")
    main(**vars(parser.parse_args()))
