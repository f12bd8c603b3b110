"""Train a recurrent network: python train.py TARGET, for instance rhn, hypernets or lstm.

Every field of the target's recipe is a flag, too: --units 100 --batch_size 10. --list shows the
targets, cells and wrappers. python train.py evaluate RUN, generate RUN and compare RUN RUN use runs,
and search TARGET looks for the best fields.
"""

import gc
import json
import os
import signal
import sys

try:
    from lab import compare, evaluation, options, search, training
    from lab.checkpoints import NotFinite
    from lab.fields import BAD_INPUT
    from lab.listing import listing
    from lab.streams import complain, deliver, occupy
    from recipes import TARGETS
except KeyboardInterrupt:
    sys.exit(128 + signal.SIGINT)
except ModuleNotFoundError as error:
    sys.exit(
        f"train.py: error: {sys.executable} lacks {error.name}: run pip install -e '.[lab]' in its environment, "
        "or use another: source .venv/bin/activate"
    )


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit code."""
    gc.set_threshold(100_000, 50, 100)  # imports take a second less than with the usual searches
    if (backend := os.environ.get("KERAS_BACKEND") or "tensorflow") != "tensorflow":
        complain(f"train.py: this trains in TensorFlow; KERAS_BACKEND={backend} has no effect on it")
    os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_NNX_ENABLED": "false"}  # before what keras.json says
    try:
        return run(arguments)
    except BrokenPipeError:  # of `train.py --list | head`
        return 128 + 13  # SIGPIPE, which Windows has not
    except BAD_INPUT as error:
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
        complain(f"train.py: error: {text}")
        return 2
    except NotFinite as error:
        complain(f"train.py: {error}")
        return 3
    except KeyboardInterrupt:
        complain("train.py: stopped")
        return 128 + signal.SIGINT


def run(arguments: list[str]) -> int:
    given, overrides = options.parse(arguments, TARGETS)
    match given.command:
        case "list":
            deliver(listing(given.target, TARGETS) + "\n")
        case "evaluate":
            deliver(json.dumps(evaluation.evaluate(given, TARGETS), allow_nan=False) + "\n")
        case "generate":
            deliver(evaluation.generate(given, TARGETS))
        case "compare":
            compare.compare(given.runs, given.out, TARGETS)
        case "search":
            return search.search(given, overrides, TARGETS, arguments)
        case "train":
            return training.train(*options.settle(given, overrides, TARGETS), given, arguments)
    return 0


if __name__ == "__main__":
    occupy()
    sys.exit(main(sys.argv[1:]))
