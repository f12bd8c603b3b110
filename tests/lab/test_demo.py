"""The trained run that comes with the lab, for `train.py generate demo`."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from lab.options import parse, recall, settle
from lab.run import DEMO, Run, load
from recipes import TARGETS
from tests.tiny import RUN, call, write_corpus

ROOT = pathlib.Path(__file__).parents[2]
README = (DEMO / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    keras.config.set_dtype_policy("float32")


@pytest.mark.slow
def test_writes_text(place):
    """The same for a seed, without a word beside it, and without a trace."""
    before = {path: path.stat().st_mtime_ns for path in DEMO.rglob("*")}
    line = "generate demo --words 12 --seed 3"
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, str(ROOT / "train.py"), *line.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == 12
    assert call(line) == (0, done.stdout, "")
    assert call("generate demo --words 12 --seed 4")[1] != done.stdout
    assert call("generate demo --words 2 --prompt return")[1].startswith("return ")
    assert not list(place.iterdir())
    assert {path: path.stat().st_mtime_ns for path in DEMO.rglob("*")} == before


def test_is_told_of(capsys):
    assert "generate demo" in call("--help")[1]
    assert "generate demo" in call("--list")[1]
    assert "demo, where there is no such folder," in call("generate --help")[1]


@pytest.mark.parametrize(
    "line, message",
    [
        ("generate demo --words 0", "--words=0: must be"),
        ("generate demo --temperature 0", "--temperature=0: must be"),
        ("generate demos", "demos: no such folder"),
        ("evaluate demo --temperature 1", "RUN demo: must be a run of your own; the demo can only generate"),
        ("compare text demo", "RUN demo: must be a run of your own; the demo can only generate"),
    ],
)
def test_bad_use_is_refused(place, line, message):
    code, out, err = call(line)
    assert (code, out) == (2, "") and err.startswith("train.py: error:") and message in err


def test_ones_own_folder_of_that_name_comes_first(place):
    (place / "demo").mkdir()
    assert "demo: not a run" in call("generate demo")[2]


def test_is_the_run_that_its_page_says():
    """Trained by that command, with those scores, and small."""
    command = README.partition("train.py lstm")[2].partition("\n\n")[0].replace("\\\n", " ")
    options, overrides = parse(["lstm", *command.split()], TARGETS)
    recipe, settings, _ = settle(options, overrides, TARGETS)
    assert (recipe, settings) == recall(Run(DEMO), TARGETS)
    result = Run(DEMO).read("result.json")
    valid, test = (f"{result[f'{split}_perplexity']:.1f}" for split in ("valid", "test"))
    assert f"validation perplexity {valid}, test {test}, " in README.replace("\n", " ")
    assert f"Python {result['versions']['python']}:" in README
    assert f"{result['parameters'] / 1e6:.1f} million numbers" in README
    words = Run(DEMO).read("vocabulary.json")
    assert f"{len(words) - 2:,} words" in README and {"<eos>", "<unk>"} < set(words)
    weights = (DEMO / "best.npz").stat().st_size
    assert f"{weights / 1e6:.1f} MB of weights" in (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 3e6


@pytest.mark.slow
def test_the_page_makes_such_a_folder(place):
    write_corpus(place / "text")
    assert call(f"{RUN} --out runs/lstm-quick-1")[0] == 0
    (place / "lab" / "demo").mkdir(parents=True)
    (block,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102
    assert {path.name for path in DEMO.iterdir()} == {path.name for path in (place / "lab" / "demo").iterdir()} | {
        "README.md"
    }
    whole, half = (load(place / folder / "best.npz")[0] for folder in ("runs/lstm-quick-1", "lab/demo"))
    for name, array in whole.items():
        np.testing.assert_array_equal(half[name], array.astype("float16"))
    assert json.loads((place / "lab/demo/result.json").read_text())["target"] == "lstm"
    assert call("generate lab/demo --words 3")[0] == 0
