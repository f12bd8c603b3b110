"""python -m benchmarks NAME [options]"""

import functools
import sys

from benchmarks import kills, trainings

NAMES = {
    "kills": ("runs killed at random moments, and gone on with", kills.main),
    **{
        name: (f"whole trainings: {title}", functools.partial(trainings.main, name))
        for name, title in trainings.TITLES.items()
    },
}


def main(arguments: list[str]) -> int:
    """Hand the options on to the `main` of that name; the exit code."""
    if arguments[:1] == [] or arguments[0] not in NAMES:
        print(__doc__, *(f"    {name}: {what}" for name, (what, _) in NAMES.items()), sep="\n")
        return 2
    return NAMES[arguments[0]][1](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
