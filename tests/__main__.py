"""All tests, part by part: what XLA compiles for them stays in a process's memory for good.

python -m tests [options of pytest]
"""

import os
import pathlib
import shutil
import subprocess
import sys

PARTS = [
    ["tests/tfcells/cells", "tests/tfcells/wrappers"],
    ["tests/tfcells", "--ignore=tests/tfcells/cells", "--ignore=tests/tfcells/wrappers"],
    ["tests", "--ignore=tests/tfcells"],
]
MEMORY = "/dev/shm"  # Linux's disk in memory: a run waits for the disk after each of its files
NOTHING = 5  # pytest's exit status where no test is left, by -k or -m


def main() -> None:
    if {"-h", "--help"} & {*sys.argv}:
        sys.exit(print(__doc__))
    root = pathlib.Path(__file__).parents[1]
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)  # where pytest's temporary folders are
    commands = [[sys.executable, "-m", "pytest", *part, *sys.argv[1:]] for part in PARTS]
    failed = [command for command in commands if subprocess.run(command, cwd=root).returncode not in (0, NOTHING)]
    sys.exit("".join(f"failed: {' '.join(command)}\n" for command in failed) or None)


if __name__ == "__main__":
    main()
