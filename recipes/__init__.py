"""The lab: what ``train.py`` can train, one file a task.

``TARGETS`` maps a target to its sizes, the default one first. This is what ``train.py`` asks of a
recipe, besides the fields of ``lab.recipe.Recipe``:

    load(corpus, data_dir)          the data, with a ``name``, or an InputError
    files(data), fingerprint(data)  what to keep of the data in the run's folder; which data it is
    recall(read)                    the data without its text, from those files; ``encode(text)``
    load(corpus, data_dir, like)    another corpus, read with the help of what `recall` gave
    build(data)                     a Keras model, [inputs, *state] -> [outputs, *state]
    initial_state(model, batch)     the state before the first step
    batches(data, epoch)            one epoch of (x, y): a tf.data.Dataset, always in the same order
    evaluation(data, split)         all of a split as (x, y, weight)
    predictions(batches)            how many predictions a batch takes
    losses(model, x, y, state)      the loss of each prediction, in nats, and the state after it
    objective(losses, penalties)    what the optimiser minimises; penalties: the model's losses
    score(loss), score_name         a mean loss as the papers report it, and what they call that
    unit, speed_name                what a prediction is of, and the name of so many a second
    measures(model, data, split)    what else tells of success; reached(measures): whether it's enough
    results(train, valid, test)     what result.json says of the task, from the mean losses
    portable(model, data)           a copy that maps inputs to outputs and can be saved
    illustrate(model, data, run, seed)  show what was learnt, in the run's folder and in words
    in_numpy(data, dtype)           if it can be had: the same network and loss of tfcells.numpy
    prompt(data, text), sample(model, data, words, ...)  what the model makes up
"""

from recipes import digits, memorise, ocr, penn_treebank, reber, sine, transduction, waveform
from lab.tasks.corpus import CorpusError
from lab.recipe import InputError

TASKS = reber, waveform, sine, memorise, transduction, digits, ocr
TARGETS = penn_treebank.TARGETS | {t: s for task in TASKS for t, s in task.TARGETS.items()}

BAD_INPUT = InputError, CorpusError, OSError
"""What a mistake of the user's, or of a disk, raises."""

__all__ = ["BAD_INPUT", "TARGETS", "InputError"]
