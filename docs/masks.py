"""python docs/masks.py: draw docs/masks.png, what each wrapper drops in a step."""

import pathlib

import keras
import matplotlib.pyplot as plt
from keras import ops

import tfcells

UNITS, STEPS = 12, 16
WRAPPERS = {
    "no noise": lambda cell: cell,
    "VariationalDropout": lambda cell: tfcells.VariationalDropout(cell, state_rate=0.4, seed=3),
    "RecurrentDropout": lambda cell: tfcells.RecurrentDropout(cell, 0.4, seed=3),
    "Zoneout": lambda cell: tfcells.Zoneout(cell, 0.4, seed=3),
    "WeightDrop": lambda cell: tfcells.WeightDrop(cell, 0.4, seed=3),
}


class Probe(tfcells.Cell):
    """Its kernel, the identity, reads ones; its update is one; its state adds up the updates."""

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


def main() -> None:
    names = {"kernel": "what the kernel reads", "update": "the update", "state.s": "the state"}
    figure, axes = plt.subplots(len(WRAPPERS), 3, figsize=(7.5, 6.5), layout="constrained", sharex=True, sharey=True)
    for row, (title, wrap) in zip(axes, WRAPPERS.items(), strict=True):
        found = tfcells.trace(tfcells.RNN(wrap(Probe())), ops.zeros((1, STEPS, 1)), training=True)
        for place, name in zip(row, names, strict=True):
            values = ops.convert_to_numpy(found[name][0])
            place.imshow(values.T, cmap="Greys", vmin=0, vmax=1.3 * values.max(), aspect="auto")
            place.set(xticks=[], yticks=[])
        row[0].set_ylabel(title, rotation=0, ha="right", va="center")
    for place, name in zip(axes[0], names.values(), strict=True):
        place.set_title(name, fontsize="medium")
    for place in axes[-1]:
        place.set_xlabel("steps")
    figure.savefig(pathlib.Path(__file__).with_name("masks.png"), dpi=120)


if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    main()
