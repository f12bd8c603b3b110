"""The lab: what ``train.py`` can train, one file a task.

``TARGETS`` maps a target to its sizes, the default one first. This is what ``train.py`` asks of a
recipe, besides the fields of ``recipes.recipe.Recipe``:

    load(corpus, data_dir)          the data, with a ``name``, or an InputError
    files(data), fingerprint(data)  what to keep of the data in the run's folder; which data it is
    recall(read)                    the data without its text, from those files; ``encode(text)``
    load(corpus, data_dir, like)    another corpus, read with the help of what `recall` gave
    build(data)                     a Keras model, [inputs, *state] -> [outputs, *state]
    initial_state(model, batch)     the state before the first step
    batches(data)                   one epoch of (x, y): a tf.data.Dataset, always in the same order
    evaluation(data, split)         all of a split as (x, y, weight)
    losses(model, x, y, state)      the loss of each prediction, in nats, and the state after it
    objective(losses, penalties)    what the optimiser minimises; penalties: the model's losses
    score(loss), score_name         a mean loss as the papers report it, and what they call that
    results(train, valid, test)     what result.json says of the task, from the mean losses
    portable(model, data)           a copy that maps inputs to outputs and can be saved
    sample(model, data, words, ...) what the model makes up
"""

from recipes.corpus import CorpusError
from recipes.penn_treebank import TARGETS
from recipes.recipe import InputError

BAD_INPUT = InputError, CorpusError, OSError
"""What a mistake of the user's, or of a disk, raises."""

__all__ = ["BAD_INPUT", "TARGETS", "InputError"]
