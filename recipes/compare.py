"""python -m recipes.compare RUN [RUN ...]: the old name of python train.py compare."""

import sys
import warnings

from lab.compare import compare
from lab.fields import BAD_INPUT
from lab.options import parse
from lab.streams import complain
from recipes import TARGETS


def main(arguments: list[str]) -> int:
    """Compare some runs; the exit code."""
    text = "python -m recipes.compare will go in version 0.4: use python train.py compare"
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    try:
        options, _ = parse(["compare", *arguments], TARGETS)
        compare(options.runs, options.out, TARGETS)
    except BAD_INPUT as error:
        complain(f"recipes.compare: error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
