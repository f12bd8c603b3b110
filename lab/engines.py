"""The limits of `--engine numpy`, known before any data are looked for."""

from typing import Any

from lab.fields import InputError, written
from lab.recipe import Recipe

PRECISIONS = "float32", "float64"
HEEDED = """
    cell cell.forget_bias
    epochs patience batch_size learning_rate steps_per_epoch optimizer decay decay_after warm_up
    anneal clip_norm shards level units layers steps embedding_units unigram_start init_scale loss
    evaluation_batch_size evaluation_steps
    count features data_seed train_examples valid_examples test_examples
""".split()
"""The fields that may have any value; the others must keep their defaults."""


def check_numpy(recipe: Recipe[Any], precision: str) -> None:
    """Refuse, by name, what the networks in NumPy can't do."""
    if precision not in PRECISIONS:
        raise InputError(f"--precision={precision}: must be {' or '.join(PRECISIONS)} with --engine numpy")
    if recipe.cell not in recipe.numpy_cells:
        raise InputError(
            f"--engine numpy: must be graph or eager or xla for cell={recipe.cell} of this target; "
            "the networks in NumPy are of LSTMCell, for the targets lstm and numbers"
        )
    for name, value in recipe.values().items():
        default = getattr(type(recipe), name, None)
        if name not in HEEDED and value != default:
            raise InputError(f"{name}={value!r}: must be {written(default)} with --engine numpy")
