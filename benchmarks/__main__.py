"""python -m benchmarks NAME [options]"""

import importlib
import sys

NAMES = {"kills": "runs killed at random moments, and gone on with"}


def main(arguments: list[str]) -> int:
    """Hand the options on to the `main` of the module of that name; the exit code."""
    if arguments[:1] == [] or arguments[0] not in NAMES:
        print(__doc__, *(f"    {name}: {what}" for name, what in NAMES.items()), sep="\n")
        return 2
    return importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
