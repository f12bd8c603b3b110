"""train.py as its users run it: on a tiny text, in real processes where it matters."""

import contextlib
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.test_house import run_blocks
from tests.tiny import call

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = "--corpus text --batch_size 4 --steps 8 --evaluation_batch_size 2 --evaluation_steps 25"
RHN = f"rhn {TINY} --units 8 --depth 2 --embedding-units 6 --epochs 4"


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A working directory with a corpus in its folder `text`."""
    place, draw = tmp_path_factory.mktemp("train"), random.Random(0)
    (place / "text").mkdir()
    for name, lines in {"train": 1000, "valid": 60, "test": 60}.items():
        text = (
            "".join(f" {draw.choice('abcdefgh')}{n % 3}" for n in range(draw.randint(3, 9))) + "\n"
            for _ in range(lines)
        )
        (place / "text" / f"{name}.txt").write_text("".join(text))
    return place


def start(place, line):
    return start_command(place, [sys.executable, str(ROOT / "train.py"), *line.split()])


def start_command(place, command):
    return subprocess.Popen(
        command,
        cwd=place,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def here(place, monkeypatch):
    """That directory as the one of this process."""
    monkeypatch.chdir(place)
    yield place
    keras.config.set_dtype_policy("float32")


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def told(code, out, err):
    """The result that a run printed."""
    assert code == 0, err
    return strict(out.splitlines()[-1])


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="session")
def unbroken(place):
    """What train.py printed of a run that nothing disturbed, in the folder `unbroken`."""
    with contextlib.chdir(place):
        code, out, err = call(f"{RHN} --out unbroken")
    assert code == 0, err
    return out, err


def test_run_leaves_everything(place, unbroken):
    out, err = unbroken
    folder = place / "unbroken"
    result = strict(out.splitlines()[-1])
    assert result == strict((folder / "result.json").read_text())
    assert list(result) == [
        "target",
        "size",
        "corpus",
        "unit",
        "level",
        "folder",
        "train_unknown",
        "valid_unknown",
        "test_unknown",
        "train_perplexity",
        "valid_perplexity",
        "test_perplexity",
        "parameters",
        "epochs",
        "words_per_second",
        "seconds",
        "seed",
        "versions",
        "metrics",
    ]
    assert (result["target"], result["size"], result["corpus"]) == ("rhn", "small", "text")
    assert (result["epochs"], result["seed"], result["level"]) == (4, 1, "word")
    # Embedding, kernel, two recurrent kernels with biases, projection, bias: 25 words, 16 columns.
    assert result["parameters"] == 25 * 6 + 6 * 16 + 2 * (8 * 16 + 16) + 8 * 6 + 6 + 25
    assert 5 < result["test_perplexity"] < 25 and result["words_per_second"] > 0

    recipe = strict((folder / "recipe.json").read_text())
    assert recipe["recipe"]["embedding_units"] == 6 and recipe["target"] == "rhn"
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "sample.txt").read_text().split()) == 50
    assert list((folder / "tensorboard").glob("events*"))
    for number in range(1, 5):
        line = f"epoch {number}/4: train "
        assert line in out and line in (folder / "log.txt").read_text()
    assert "perplexity=" in err and "words/s" in err
    assert not list(folder.glob(".*")), "something temporary was left"


def test_the_page_runs(place, unbroken, tmp_path, monkeypatch, capsys):
    """Its program writes 20 words with the model of a run."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "rhn-small-1").symlink_to(place / "unbroken")
    monkeypatch.chdir(tmp_path)
    run_blocks("docs/train.md", {})
    assert len(capsys.readouterr().out.split()) == 20


def test_model_needs_keras_and_tfcells_alone(place, unbroken):
    code = """if True:
        import json, sys
        import keras, numpy as np, tfcells
        model = keras.saving.load_model("unbroken/model.keras")
        words = json.load(open("unbroken/vocabulary.json"))
        lines = open("text/test.txt").read().replace("\\n", " <eos> ").split()
        tokens = np.array([words.index(word) for word in ["<eos>", *lines]])
        logits = model.predict(tokens[None, :-1], verbose=0)[0].astype("float64")
        losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(lines)), tokens[1:]]
        assert not {"lab", "recipes"} & set(sys.modules)
        print(np.exp(losses.mean()))
    """
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    run = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    expected = strict((place / "unbroken" / "result.json").read_text())["test_perplexity"]
    assert float(run.stdout) == pytest.approx(expected, rel=1e-4)


def test_a_stopped_run_ends_like_the_unbroken_one(place, unbroken):
    """By the command that it prints. benchmarks/test_kills.py has the kills."""
    process = start(place, f"{RHN} --out broken")
    read_until(process, "epoch 1/4: ")
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130 and "Traceback" not in err
    _, command = out.split("to go on: ")
    assert command.strip().endswith(f"train.py {RHN} --resume --out broken")

    code, out, err = finish(start_command(place, shlex.split(command)))
    assert re.match(r"continuing broken in epoch [234] of 4\n", err)
    resumed = told(code, out, err)
    expected = strict(unbroken[0].splitlines()[-1])
    assert without_times(resumed) == without_times(expected)
    for name in ("best.npz", "checkpoint.npz"):
        with np.load(place / "broken" / name) as one, np.load(place / "unbroken" / name) as other:
            assert one.files == other.files
            for key in set(one.files) - {"facts.json", "sha256", "step_seconds"}:
                np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize(
    "line, message",
    [
        ("rhn --units 9 --depth 2", "units=9 (was 8)"),
        ("rhn --units 9 --seed 2", "not with seed=2 (was 1), units=9 (was 8)"),
        ("rhn --seed 2", "seed=2 (was 1)"),
        ("lstm", "target='lstm' (was 'rhn')"),
        ("rhn --corpus other", "another corpus"),
    ],
)
def test_another_run_is_not_gone_on_with(here, unbroken, line, message):
    (here / "other").mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        text = (here / "text" / f"{split}.txt").read_text()
        (here / "other" / f"{split}.txt").write_text(text + "a0\n")
    code, out, err = call(f"{line} --resume --out unbroken")
    assert code == 2 and not out
    assert message in err and "Traceback" not in err


def test_a_finished_run_is_left_alone(here, unbroken):
    files = {path: path.stat().st_mtime_ns for path in (here / "unbroken").glob("*.*")}
    code, out, err = call(f"{RHN} --resume --out unbroken")
    assert code == 0 and "unbroken was finished already" in err
    assert json.loads(out) == json.loads((here / "unbroken" / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in (here / "unbroken").glob("*.*")} == files


def read_until(process, beginning):
    """Read what a process prints up to a line that begins so."""
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(process.stderr.read())


def without_times(result):
    return {k: v for k, v in result.items() if k not in ("seconds", "words_per_second")}


@pytest.mark.parametrize(
    "line",
    [
        "lstm --layers 2 --units 5 --engine xla --precision mixed_bfloat16",
        "lstm --size tied --units 5 --embedding_units 4 --level char --engine eager",
        "lnlstm --units 5 --embedding_units 4",
        "hypernets --units 5 --embedding_units 4 --hyper_units 3",
        "kvp --units 6 --embedding_units 4 --wrapper.window 3",
        "hsg --units 5 --embedding_units 4 --depth 2 --learning_rate 1 --clip_norm 1",
    ],
)
def test_other_targets_run_to_their_end(here, line):
    target = line.split()[0]
    result = told(*call(f"{line} {TINY} --epochs 1 --steps_per_epoch 5"))
    folder = here / "runs" / f"{target}-{result['size']}-1"
    assert result == strict((folder / "result.json").read_text())
    assert ("bits_per_character" in result) == (result["level"] == "char")
    if result["level"] == "char":
        expected = np.log2(result["test_perplexity"])
        assert result["bits_per_character"] == pytest.approx(expected)


def test_loss_that_is_not_finite_stops_the_run(here):
    line = f"lstm {TINY} --units 5 --learning_rate 1e38 --clip_norm none --epochs 2 --out nan"
    code, out, err = call(line)
    assert code == 3 and "Traceback" not in err
    assert "the loss is" in out and "the last good checkpoint is nan/checkpoint.npz" in out
    with np.load(here / "nan" / "checkpoint.npz") as checkpoint:
        assert all(np.isfinite(checkpoint[name]).all() for name in checkpoint.files)
    assert not (here / "nan" / "result.json").exists()


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "name a target: lstm, best, lnlstm"),
        ("lstn", "unknown target 'lstn'; did you mean lstm"),
        ("RHN", "unknown target 'RHN'; did you mean rhn?"),
        ("genrate demo", "unknown target 'genrate'; did you mean generate?"),
        ("--lst", "unknown option 'lst'; did you mean list"),
        ("rhn --quik", "unknown option 'quik'; did you mean quick?"),
        ("lstm --cell lstmm", "cell=lstmm: must be the name of one cell; did you mean LSTMCell"),
        ("train rhn", "unknown target 'train'; there are add, "),
        ("--rhn", "unknown option 'rhn'; did you mean rhn?"),
        ("lstm rhn", "unexpected argument 'rhn': the target is lstm, and there is one at a time"),
        ("lstm --units 5 --rhn", "unexpected argument '--rhn': the target is lstm, and there is one at a time"),
        ("lstm --wrapper clip,zoneout", "wrapper=clip,zoneout: must be the name of one wrapper"),
        ("lstm --cell.activation relu", "no field 'cell.activation' with cell=LSTMCell; there are cell.forget_bias"),
        ("rhn -quick", "unexpected argument '-quick'; did you mean --quick?"),
        ("rhn --resume RUN", "unexpected argument 'RUN'; --resume continues the run of --out FOLDER"),
        ("rhn --data_dir", "--data_dir: expected one argument"),
        ("rhn --budget 4.65", "--budget=4.65: must be a number of parameters such as 4650000 or 4.65M"),
        ("lstm --corpus text --cell sru --weight_drop 0.3", "error: weight_drop=0.3: SRUCell has no kernel slot"),
        ("lstm --corpus text --cell mingru --state_dropout 0.3", "error: state_dropout=0.3: MinGRUCell has no kernel"),
        ("lstm --wrapper.rate 0.2", "no field 'wrapper.rate' with wrapper=none; --wrapper NAME chooses one"),
        ("lstm --corpus ptb --data_dir text/train.txt", "text/train.txt: not a folder"),
        ("lstm --corpus pbt", "neither a corpus nor a folder; did you mean ptb?"),
        ("lstm --corpus text/train.txt", "nor a folder; give the folder of train.txt, valid.txt, test.txt"),
        ("lstm --corpus text --data_dir text", "must be given with --corpus ptb or "),
        ("sine --corpus text", "error: --corpus must be auto, as sine draws its own data"),
        ("mnist --corpus text", "error: --corpus must be auto, mnist or digits"),
        ("sine --data_dir text", "text: must not be given, as sine draws its own data"),
        ("lstm --corpus text --out /proc/run", "No such file or directory: '/proc/run'"),
        ("generate demo --word 10", "unknown option 'word'; did you mean words?"),
        ("compare text --outt x.png", "unknown option 'outt'; did you mean out?"),
        ("evaluate text text", "unexpected argument 'text'"),
        ("generate text", "text: not a run such as runs/rhn-small-1, it has no recipe.json"),
        ("generate runs/x", "runs/x: no such folder"),
        ("generate text/train.txt", "text/train.txt: not a run such as runs/rhn-small-1, it has no recipe.json"),
        ("rhn --size papier", "rhn has no size 'papier'; did you mean paper?"),
        ("lstm --unit 5", "unknown option 'unit'; did you mean units"),
        ("lstm --depth 5", "no field 'depth' with cell=LSTMCell"),
        ("lstm --laye 5", "unknown option 'laye'; did you mean layer_sum or layers"),
        ("rhn --dept 5", "unknown option 'dept'; did you mean depth"),
        ("lstm 5", "unexpected argument '5'"),
        ("lstm --dropout 1.7", "dropout=1.7: must be a number in [0, 1)"),
        ("lstm --units -5", "units=-5: must be a whole number from 1"),
        ("lstm --level=sentence", "level=sentence: must be word or char or byte"),
        ("lstm --engine steam", "--engine=steam: must be graph or eager or xla"),
        ("lstm --precision int8", "--precision=int8: must be float32 or mixed_bfloat16"),
        ("lstm --seed x", "--seed=x: must be a whole number"),
        ("lstm --units", "--units"),
        ("lstm --layers 101", "layers=101: must be a whole number from 1 to 100"),
        ("lstm --save_seconds soon", "--save_seconds=soon: must be a number"),
        ("lstm --corpus text --units 1000000", "make units, batch_size or steps smaller"),
        ("evaluate nowhere", "nowhere: no such folder"),
        ("generate text --temperature 0", "--temperature=0: must be a number above 0"),
        ("lstm --corpus nowhere", "nowhere"),
        ("lstm --corpus empty", "empty/train.txt"),
        ("lstm --corpus binary", "binary/train.txt"),
        ("lstm --corpus ptb --data_dir nowhere", "nowhere"),
        ("lstm --corpus text --batch_size 9999", "batch_size 9999"),
        ("lstm --corpus text --steps_per_epoch 9999", "steps_per_epoch=9999"),
        ("lstm --corpus text --out text", "--out text: exists already"),
        ("lstm --resume", "no run runs/lstm-small-1"),
        ("lstm --resume --out text", "text: not a run"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(place, tmp_path, monkeypatch, line, message):
    (tmp_path / "text").symlink_to(place / "text")
    for name, content in {"empty": b"", "binary": b"\xff\xfe\x00 \x80\n" * 99}.items():
        (tmp_path / name).mkdir()
        for split in ("train", "valid", "test"):
            (tmp_path / name / f"{split}.txt").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    code, out, err = call(line)
    assert code == 2 and not out
    assert message in err and "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_process_ends_with_the_same_code_and_words(here):
    line = "lstm --unit 5"
    assert finish(start(here, line)) == call(line)


def test_help_of_a_target():
    """Its own fields, with what they are here and mean."""
    code, out, err = call("rhn --size paper --help")
    assert code == 0 and not err
    said = " ".join(out.split())
    assert "--units VALUE hidden units of a layer (default: 830)" in said
    assert "--symbols" not in out


def test_list_into_a_closed_pipe(place):
    process = start(place, "--list")
    process.stdout.close()
    process.stdout = None
    code, _, err = finish(process)
    assert code == 141 and "train.py" not in err and "Traceback" not in err


def test_list_counts_parameters():
    code, out, err = call("--list")
    assert code == 0, err
    rows = {tuple(line.split()[:3]) for line in out.splitlines()}
    assert ("lstm", "small", "4,651,600") in rows and ("rhn", "paper", "23,482,400") in rows
    assert "120.7 / 114.5" in out and "Zaremba" in out


def test_another_backend_is_said_to_have_no_effect(monkeypatch):
    said = []
    for backend in ("torch", "", "tensorflow"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        code, _, err = call("--list")
        assert code == 0 and os.environ["KERAS_BACKEND"] == "tensorflow"
        said.append(err)
    assert said == ["train.py: this trains in TensorFlow; KERAS_BACKEND=torch has no effect on it\n", "", ""]


def test_an_environment_without_the_lab_is_told_what_to_install():
    done = subprocess.run([sys.executable, "-S", "train.py", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "pip install -e '.[lab]'" in done.stderr and sys.executable in done.stderr
