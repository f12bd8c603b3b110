"""train.py in this process, on a tiny text."""

import contextlib
import io
import pathlib
import random
import signal

import train

RUN = (
    "lstm --corpus text --layers 1 --units 3 --batch_size 2 --steps 4 --epochs 2 --engine eager "
    "--steps_per_epoch 2 --evaluation_batch_size 2 --evaluation_steps 8 --dropout 0.2 --optimizer adam "
    "--learning_rate 0.01"
)
PATIENCE = 120  # seconds


def write_corpus(folder: pathlib.Path, letters="abcdefgh", seed=0):
    """A corpus of random letters, in which `<unk>` occurs."""
    draw = random.Random(seed)
    folder.mkdir()
    for name, lines in {"train": 20, "valid": 4, "test": 4}.items():
        text = [" ".join(draw.choices(letters, k=draw.randint(3, 9))) for _ in range(lines)]
        (folder / f"{name}.txt").write_text("\n".join(["<unk>", *text]) + "\n")


def call(line: str | list[str]) -> tuple[int, str, str]:
    """The exit code of a command, what it prints and what it complains of."""
    arguments = line.split() if isinstance(line, str) else line
    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, out_of_patience)
    signal.alarm(PATIENCE)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = train.main(arguments)
    except SystemExit as error:
        code = error.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, out.getvalue(), err.getvalue()


def out_of_patience(*_):
    raise Hangs(f"no end in {PATIENCE} s")


class Hangs(BaseException):
    """What train.py can't take for an error of its user's."""
