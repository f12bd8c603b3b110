"""What happens to runs: they are evaluated and made to talk; disks fill up; files are tampered with.

All in this process; test_train.py has the tests that need one of their own.
"""

import contextlib
import errno
import io
import itertools
import json
import operator
import os
import pathlib
import re
import resource
import shutil
import signal
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import lab.checkpoints
import lab.learner
import lab.run
import lab.training
import tfcells
from benchmarks import kills
from lab.fields import InputError
from lab.run import Run, load, save
from lab.tasks import scoring
from lab.tasks.corpus import SOURCES, from_vocabulary
from lab.tasks.generation import generate
from lab.tasks.language_model import LanguageModel
from lab.tasks.scoring import Reader
from tests.tiny import RUN, call, dummy_source, result_of, write_corpus

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with the corpus `text` and the finished run `done`."""
    place = tmp_path_factory.mktemp("runs")
    write_corpus(place / "text")
    with contextlib.chdir(place):
        code, out, err = call(f"{RUN} --out done")
    assert code == 0, err
    return place


@pytest.fixture
def place(finished, tmp_path, monkeypatch):
    """A copy of that, to work in."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    keras.config.set_dtype_policy("float32")


def refused(line, *messages, code=2):
    """Check that a command fails with those messages, after `train.py`."""
    got, out, err = call(line)
    last = err.strip().splitlines()[-1]
    assert got == code and last.startswith("train.py"), err
    for message in messages:
        assert message in last
    return out


# evaluate and generate.


def test_evaluate_says_what_the_run_said(place):
    code, out, err = call("evaluate done")
    assert code == 0, err
    said, expected = json.loads(out), result_of(place / "done")
    assert (said["run"], said["corpus"], said["epoch"]) == ("done", "text", 2)
    for key in ("valid_perplexity", "test_perplexity", "level"):
        assert said[key] == expected[key]
    assert len(out.splitlines()) == 1


def test_evaluate_with_methods(place, monkeypatch):
    """They are kept with the run; what was read once is not read again."""
    static = json.loads(call("evaluate done")[1])
    line = "evaluate done --dynamic --dynamic_steps 4 --cache --cache-window 9 --temperature 1.1 --mc_dropout 2"
    code, out, err = call(line)
    assert code == 0, err
    found = json.loads(out)
    assert found["methods"] == ["dynamic", "cache", "temperature", "mc_dropout"]
    assert found["test_perplexity"] != static["test_perplexity"] and found["level"] == static["level"] == "word"
    assert found["test_unknown"] == static["test_unknown"]
    kept = json.loads((place / "done/evaluation.json").read_text())
    assert kept == {key: value for key, value in found.items() if key not in ("run", "corpus")}
    assert kept["settings"]["cache_window"] == 9 and kept["settings"]["temperature"] == 1.1
    assert kept["settings"]["dynamic_rate"] == 4e-5
    assert json.loads(call("evaluate done")[1]) == static  # the weights are as they were

    plain = json.loads(call("evaluate done --temperature 1")[1])
    assert plain["methods"] == [] and "dynamic_rate" not in plain["settings"]
    assert plain["test_perplexity"] == pytest.approx(static["test_perplexity"], rel=1e-6)
    monkeypatch.setattr(Reader, "losses", None)
    monkeypatch.setattr(Reader, "mean_squares", None)
    assert call(line)[1] == out
    on_another = line.replace("--dynamic ", "--corpus text --dynamic ")
    assert json.loads(call(on_another)[1])["test_perplexity"] == found["test_perplexity"]


def test_methods_on_a_disk_that_cannot_be_written(place, monkeypatch):
    """What took long to compute is shown, and it is said that it is not kept."""
    with read_only(monkeypatch, place / "done"):
        code, out, err = call("evaluate done --dynamic --dynamic_steps 4")
    assert code == 0 and json.loads(out)["methods"] == ["dynamic"]
    assert "not kept: " in err and "evaluation.json" in err
    assert not (place / "done/evaluation.json").exists()


def test_weights_that_run_away_have_no_score(place):
    refused("evaluate done --dynamic --dynamic_rate 1e36 --dynamic_steps 4", "perplexity inf", code=3)
    assert not (place / "done/evaluation.json").exists()


def test_tuning_keeps_what_is_given(place, monkeypatch):
    monkeypatch.setattr(scoring, "RATES", (1e-5, 1e-2))
    monkeypatch.setattr(scoring, "DECAYS", (1e-3, 1e-1))
    monkeypatch.setattr(scoring, "EPSILONS", (2e-5, 1e-4))
    monkeypatch.setattr(scoring, "THETAS", (0.5, 2.0))
    monkeypatch.setattr(scoring, "TUNED_WORDS", 12)
    code, out, err = call("evaluate done --dynamic --dynamic_decay 0.01 --cache --cache_share 0.2 --tune")
    assert code == 0, err
    settings = json.loads(out)["settings"]
    assert settings["dynamic_decay"] == 0.01 and settings["cache_share"] == 0.2
    assert settings["dynamic_rate"] in (1e-5, 1e-2) and settings["cache_theta"] in (0.5, 2.0)
    assert settings["dynamic_epsilon"] in (2e-5, 1e-4)
    assert settings["temperature"] in scoring.TEMPERATURES


def test_methods_are_refused_where_they_have_no_effect(place):
    refused("evaluate done --cache_share 0.2", "--cache_share: must not be given without --cache")
    refused("evaluate done --dynamic-rate 1", "--dynamic_rate: must not be given without --dynamic")
    refused("evaluate done --cache --cache_share 1", "--cache_share=1: must be a number in [0, 1)")
    refused("evaluate done --mc_dropout 0", "--mc_dropout=0: must be a whole number from 1 to 100")
    assert call(f"{RUN} --dropout 0 --out dry")[0] == 0
    refused("evaluate dry --mc_dropout 2", "--mc_dropout 2: must not be given, as dry has no dropout")


def test_evaluate_on_another_corpus_in_the_vocabulary_of_the_run(place):
    write_corpus(place / "other", "abxyz", seed=1)
    translated = place / "translated"
    shutil.copytree(place / "other", translated)
    for path in translated.iterdir():
        text = path.read_text()
        path.write_text(text.translate({ord(letter): "<unk>" for letter in "xyz"}))
    said = [json.loads(call(f"evaluate done --corpus {name}")[1]) for name in (place / "other", translated)]
    assert said[0] | {"corpus": "translated", "folder": str(translated)} == said[1]
    assert said[0]["test_unknown"] > 0.3
    assert said[0]["test_perplexity"] != result_of(place / "done")["test_perplexity"]


def test_evaluate_refuses_unknown_words_without_unk(place):
    for path in (place / "text").iterdir():
        path.write_text(path.read_text().replace("<unk>\n", ""))
    assert call(f"{RUN} --epochs 1 --out plain")[0] == 0
    write_corpus(place / "other", "abxyz", seed=1)
    refused("evaluate plain --corpus other", "corpus other", "<unk>")
    refused(["generate", "plain", "--prompt", "a b zoo c"], "'zoo'", "<unk>")


def test_averages_are_what_a_run_tests_and_keeps(place):
    for epochs in (1, 3):  # the last epoch's are the best, or an earlier one's
        line = f"{RUN} --epochs {epochs} --ema 0.9 --out averaged{epochs} --learning_rate 0.3"
        code, _, err = call(line)
        assert code == 0, err
        result = result_of(place / f"averaged{epochs}")
        found = json.loads(call(f"evaluate averaged{epochs}")[1])
        for split in ("valid", "test"):
            assert found[f"{split}_perplexity"] == result[f"{split}_perplexity"]
        plain = line.replace("--ema 0.9", "").replace("averaged", "plain")
        assert call(plain)[0] == 0
        assert result_of(place / f"plain{epochs}")["test_perplexity"] != result["test_perplexity"]


def test_generate(place):
    code, out, err = call(["generate", "done", "--words", "7", "--prompt", "b a"])
    assert code == 0, err
    assert out.startswith("b a") and len(out.split()) == 9 and out.endswith("\n")
    assert call("generate done --words 50 --seed 1")[1] == (place / "done" / "sample.txt").read_text()
    assert call("generate done --words 50 --seed 2")[1] != (place / "done" / "sample.txt").read_text()
    assert call(["generate", "done", "--words", "1", "--prompt", "zoo"])[1].startswith("<unk>")
    cold = {call(f"generate done --words 9 --temperature 1e-30 --seed {n}")[1] for n in (1, 2, 3)}
    assert len(cold) == 1


def test_a_prompt_is_read(randomise):
    """What follows is likely after the end of a sentence and the prompt."""
    recipe = LanguageModel(units=6, batch_size=2, steps=5, epochs=1, learning_rate=1.0)
    corpus = from_vocabulary(["<eos>", *"abcdef"], "word")
    model = randomise(recipe.build(corpus))
    for weight in model.trainable_variables:
        weight.assign(6 * weight)
    decoder, followers = tfcells.Decoder(recipe.portable(model, corpus)), set()
    for text in ("a", "b", "b c", "d", "e", "f\na"):
        prompt = corpus.encode(text)
        inputs = np.array([[corpus.eos, *prompt]])
        state = [np.array(s) for s in recipe.initial_state(model, 1)]
        logits = np.array(model([inputs, *state])[0])[0, -1]
        expected = corpus.vocabulary[logits.argmax()]
        assert next(generate(decoder, corpus, 1, 1e-6, prompt)) == expected
        followers.add(expected)
    assert len(followers) > 1


@pytest.mark.parametrize("missing", ["best.npz result.json model.keras", "result.json"])
def test_unfinished_run_can_be_used(place, missing):
    for name in missing.split():
        (place / "done" / name).unlink()
    if "best" in missing:
        (place / "done" / "best.previous.npz").unlink(missing_ok=True)
    code, out, err = call("evaluate done")
    assert code == 0 and json.loads(out)["epoch"] == (0 if "best" in missing else 2)
    assert ("no epoch is done yet" in err) == ("best" in missing)
    assert call("generate done --words 3")[0] == 0


@pytest.mark.parametrize(
    "line, message",
    [
        ("evaluate", "RUN"),
        ("evaluate nowhere", "nowhere: no such folder"),
        ("evaluate text", "text: not a run"),
        ("./done", "unknown target './done'; for the run: evaluate ./done, generate ./done"),
        ("evaluate done --corpus nowhere", "nowhere"),
        ("evaluate done --words 3", "unknown option 'words'; there are cache, "),
        ("generate done --temperature 0", "--temperature=0: must be"),
        ("generate done --temperature nan", "--temperature=nan: must be"),
        ("generate done --words 0", "--words=0: must be"),
        ("generate done --words many", "--words=many: must be"),
        ("generate done --seed -1", "--seed"),
        ("generate nowhere", "nowhere: no such folder"),
    ],
)
def test_bad_use_is_refused(place, line, message, monkeypatch):
    monkeypatch.setattr("lab.learner.Learner", None)  # not to be reached
    refused(line, message)


def test_any_cell_is_a_language_model(place):
    """By name, wrapped, with the units of a budget; and the run is used, and resumed, as any other."""
    line = f"{RUN.replace('--units 3 ', '')} --cell Gru --cell.reset_after false --budget 1K"
    line += " --wrapper zoneout --wrapper.rate 0.1 --forget_bias 3"
    refused(f"{line} --out gru", "no field 'forget_bias' with cell=GRUCell")
    line = line.removesuffix(" --forget_bias 3")
    code, out, err = call(f"{line} --out gru")
    assert code == 0, err
    result = result_of(place / "gru")
    recipe = json.loads((place / "gru" / "recipe.json").read_text())["recipe"]
    assert 900 < result["parameters"] <= 1000 and recipe["units"] > 3
    assert recipe["cell"] == "GRUCell" and recipe["cell.reset_after"] is False
    assert (recipe["wrapper"], recipe["wrapper.rate"]) == ("Zoneout", 0.1)
    assert json.loads(call("evaluate gru")[1])["test_perplexity"] == result["test_perplexity"]
    assert call("generate gru --words 3")[0] == 0
    (place / "gru" / "result.json").unlink()
    code, out, err = call(f"{line} --resume --out gru")
    assert code == 0 and "continuing gru after its last epoch: the test is left" in err
    refused(f"{line.replace('1K', '2K')} --resume --out gru", "units=")
    refused(f"{line} --cell.reset_after true --resume --out gru", "cell.reset_after=True (was False)")


def test_runs_of_version_0_1_are_used_and_resumed(place):
    """Their recipe.json has the cell's arguments among the fields, and no cell."""
    line = RUN.replace("lstm", "hypernets") + " --hyper_units 3 --signal_units 2 --embedding_units 3"
    assert call(f"{line} --out new")[0] == 0
    result = result_of(place / "new")
    run = Run(place / "new")
    about = json.loads((run.folder / "recipe.json").read_text())
    recipe = {k.removeprefix("cell."): v for k, v in about["recipe"].items() if "." not in k}
    own = {k.removeprefix("cell."): v for k, v in about["recipe"].items() if "cell." in k}
    own["signal_units"] = own.pop("embedding_units")
    for name in ("cell", "wrapper", "init_biases"):
        del recipe[name]
    about["recipe"] = recipe | own
    (run.folder / "recipe.json").write_text(json.dumps(about))
    for path in (run.checkpoint, run.best):
        arrays, facts = load(path)
        save(path, arrays, facts | {"about": about})
    assert json.loads(call("evaluate new")[1])["test_perplexity"] == result["test_perplexity"]
    assert call("generate new --words 3")[0] == 0
    (run.folder / "result.json").unlink()
    code, out, err = call(f"{line} --resume --out new")
    assert code == 0, err
    assert result_of(run.folder)["test_perplexity"] == result["test_perplexity"]
    refused("hypernets --signal_units 3 --resume --out new", "cell.embedding_units=3 (was 2)")


# Unknown tokens.


@pytest.mark.parametrize("level", ["word", "char"])
def test_the_share_of_unknown_tokens_stands_beside_every_perplexity(place, level):
    """In what is said, in result.json and recipe.json, in what evaluate prints."""
    for path in (place / "text").iterdir():
        path.write_text(path.read_text().replace("<unk>\n", ""))
    (place / "text" / "test.txt").write_text("\u03b1 a \u03b2 \u03b3\n" * 9)
    code, out, err = call(f"{RUN} --level {level} --epochs 1 --out new")
    assert code == 0, err
    share = {"word": 3 / 5, "char": 3 / 8}[level]
    result = result_of(place / "new")
    assert (result["train_unknown"], result["valid_unknown"]) == (0, 0)
    assert result["test_unknown"] == pytest.approx(share)
    (epoch,) = [line for line in out.splitlines() if line.startswith("epoch 1/1")]
    assert "unknown" not in epoch and f"({100 * share:.2g} % unknown); a sample" in out
    assert json.loads((place / "new" / "recipe.json").read_text())["data"] == {
        name: result[name] for name in ("corpus", "unit", "level", "folder", *(f"{s}_unknown" for s in SPLITS))
    }
    said = json.loads(call("evaluate new")[1])
    assert (said["valid_unknown"], said["test_unknown"]) == (0, result["test_unknown"])
    assert "train_unknown" not in said
    assert said["test_perplexity"] == pytest.approx(result["test_perplexity"], rel=1e-6)


SPLITS = "train", "valid", "test"


def test_a_text_whose_bias_starts_at_frequencies_may_lack_unk(place):
    for path in (place / "text").iterdir():
        path.write_text(path.read_text().replace("<unk>\n", ""))
    (place / "text" / "valid.txt").write_text("a b zoo\n" * 9)
    code, _, err = call(f"{RUN} --unigram_start true --epochs 1 --out new")
    assert code == 0, err
    assert np.isfinite(result_of(place / "new")["valid_perplexity"])


def test_evaluate_does_not_read_what_it_does_not_score(place):
    """Words of the other corpus's training text may be any."""
    for path in (place / "text").iterdir():
        path.write_text(path.read_text().replace("<unk>\n", ""))
    assert call(f"{RUN} --epochs 1 --out plain")[0] == 0
    shutil.copytree(place / "text", place / "other")
    (place / "other" / "train.txt").write_text("words that none knows\n")
    found, own = (json.loads(call(f"evaluate plain{more}")[1]) for more in (" --corpus other", ""))
    for name in ("valid_perplexity", "test_perplexity"):
        assert found[name] == own[name]


@pytest.mark.parametrize("target, size, unit", [("rhn", "enwik8", "bytes"), ("rhn", "text8", "characters")])
def test_a_size_has_a_corpus_of_its_own(place, monkeypatch, target, size, unit):
    monkeypatch.setenv("TFDS_DATA_DIR", str(place / "cache"))
    folder = dummy_source(SOURCES[size], monkeypatch)
    line = RUN.replace("lstm --corpus text --layers 1", f"{target} --size {size} --depth 1 --embedding_units 3")
    code, out, err = call(f"{line} --data_dir {folder} --epochs 1 --out new")
    assert code == 0, err
    result = result_of(place / "new")
    assert (result["size"], result["corpus"], result["unit"]) == (size, size, unit)
    assert result[f"bits_per_{unit[:-1]}"] == pytest.approx(np.log2(result["test_perplexity"]))
    assert json.loads((place / "new" / "recipe.json").read_text())["corpus"] == size
    code, out, err = call("evaluate new")
    assert code == 0, err
    assert json.loads(out)["test_perplexity"] == pytest.approx(result["test_perplexity"], rel=1e-6)
    text = {"enwik8": "Zoë's [[b", "text8": "the boat w"}[size]
    code, out, err = call(["generate", "new", "--words", "5", "--prompt", text])
    assert code == 0 and out.startswith(text), err


@pytest.mark.parametrize("level, unit", [("word", "words"), ("char", "characters"), ("byte", "bytes")])
def test_names_and_units_are_of_the_level(place, level, unit):
    code, out, err = call(f"{RUN} --level {level} --epochs 1 --out new")
    assert code == 0, err
    result = result_of(place / "new")
    assert result["unit"] == unit and f"{unit}_per_second" in result and f" {unit}/s" in out
    other = "words" if level != "word" else "characters"
    assert not [name for name in (*result, *history_of(place / "new")[0]) if other in name]


# What a run leaves.


def test_tensorboard_has_the_scores_of_every_epoch(place):
    curves = EventAccumulator(str(place / "done" / "tensorboard"))
    curves.Reload()
    history = history_of(place / "done")
    assert len(history) == 2
    for name in ("train_perplexity", "valid_perplexity", "learning_rate", "words_per_second"):
        found = {event.step: tf.make_ndarray(event.tensor_proto) for event in curves.Tensors(name)}
        assert found == {e["epoch"]: pytest.approx(e[name], rel=1e-6) for e in history}


def test_speed_is_the_median_after_the_first_twenty_steps(place):
    assert call(f"{RUN} --epochs 12 --out long")[0] == 0
    arrays, _ = load(place / "long" / "checkpoint.npz")
    seconds = arrays["step_seconds"]
    assert len(seconds) == 24
    found = result_of(place / "long")["words_per_second"]
    assert found == pytest.approx(2 * 4 / np.median(seconds[20:]), rel=1e-5)


def test_a_corpus_that_has_moved_is_named_anew(place, tmp_path, monkeypatch):
    """The run says where its corpus was; with the new place it goes on, and another corpus is not looked for there."""
    shutil.copytree(dummy_source(SOURCES["ptb"], monkeypatch), tmp_path / "ptb")
    line = RUN.replace("--corpus text", f"--corpus ptb --data_dir {tmp_path / 'ptb'}")
    assert call(f"{line} --out moved")[0] == 0
    (tmp_path / "ptb").rename(tmp_path / "elsewhere")
    for use in ("evaluate moved", "lstm --resume --out moved"):
        refused(use, f"moved: its corpus was in {tmp_path / 'ptb'}, which is gone; --data_dir FOLDER names the new")
        assert call(f"{use} --data_dir {tmp_path / 'elsewhere'}")[0] == 0
    assert call("evaluate moved --corpus text")[0] == 0
    refused("lstm --resume --out moved --corpus text", "moved was begun with another corpus than text")


def test_unknown_words_of_a_prompt_are_named(place):
    code, out, err = call("generate done --words 2 --prompt 'a'".split()[:-1] + ["a Zebra b Yak"])
    assert code == 0 and out.startswith("a <unk> b <unk>")
    assert "--prompt: not in the vocabulary, so read as <unk>: 'Zebra', 'Yak'" in err
    assert "--prompt" not in call("generate done --words 2 --prompt a")[2]


def test_the_default_corpus_is_settled_when_a_run_begins(place, monkeypatch):
    """What `auto` was then it is when the run is used, whatever there is by now."""
    monkeypatch.setattr("data.source.fetch", lambda *_: b"")
    monkeypatch.setenv("TFDS_DATA_DIR", str(place / "cache"))
    text = {split: ["a b <unk> c"] * 20 for split in ("train", "valid", "test")}
    monkeypatch.setattr("data.pydoc.source.corpus", lambda: text)
    code, out, err = call(RUN.replace("--corpus text", "--out new"))
    assert code == 0 and err.count("The corpus is pydoc") == 1
    before, notice, after = err.partition(next(line for line in err.splitlines() if "--data_dir" in line))
    assert re.fullmatch(r"training \w+ small on pydoc: [\d,]+ parameters, \d+ epochs of 2 steps, in \S+\n", before)
    assert "pydoc" in notice and after.lstrip().startswith("epoch 1/2")
    assert json.loads(out.splitlines()[-1])["corpus"] == "pydoc"
    assert json.loads((place / "new" / "recipe.json").read_text())["corpus"] == "pydoc"
    for line in ("evaluate new", "lstm --resume --out new"):
        code, out, err = call(line)
        assert code == 0 and "The corpus is pydoc" not in err


# Runs that stop and go on.


def test_two_processes_cannot_train_one_run(place):
    with Run(place / "done").locked():
        refused("lstm --resume --out done", "done: another process is training it")
    assert call("lstm --resume --out done")[0] == 0


SIGNALS = {
    "learner.Learner.start": signal.SIGINT,
    "learner.Learner.train": signal.SIGTERM,
    "learner.Learner.evaluate": signal.SIGHUP,
    "training.versions": signal.SIGINT,
}


def test_signals_stop_a_run_that_can_go_on(place, monkeypatch):
    """While the network is built, in a step, in validation; while the last files are written, it waits."""
    for where, number in SIGNALS.items():
        method = operator.attrgetter(where)(lab)

        def send(*arguments, number=number, method=method):
            os.kill(os.getpid(), number)
            return method(*arguments)

        more = "--resume --out new" if (place / "new").exists() else "--out new"
        with monkeypatch.context() as patch:
            patch.setattr(f"lab.{where}", send)
            code, out, err = call(f"{RUN} {more}")
        assert code == (0 if where == "training.versions" else 128 + number), err
        assert (f"{RUN} --resume --out new" in out.partition("to go on: ")[2]) == bool(code)
        assert (place / "new" / "result.json").exists() == (not code)
    assert "new was finished already" in call("lstm --resume --out new")[2]
    for key in ("train_perplexity", "valid_perplexity", "test_perplexity"):
        assert result_of(place / "new")[key] == result_of(place / "done")[key]


def test_checkpoints_come_as_often_as_asked(place, monkeypatch):
    kept, before = [], lab.run.save
    monkeypatch.setattr(
        lab.checkpoints,
        "save",
        lambda path, *rest: (kept.append(path.name), before(path, *rest)),
    )
    for seconds, expected in (("0", 1 + 4 + 2), ("600", 1 + 2)):
        assert call(f"{RUN} --out new{seconds} --save_seconds {seconds}")[0] == 0
        assert kept.count("checkpoint.npz") == expected
        kept.clear()
    refused(f"{RUN} --out no --save_seconds -1", "save_seconds")


FILES = [
    "checkpoint.npz",
    "best.npz",
    "learning_curve.png",
    "model.keras",
    "sample.txt",
    "result.json",
]


def test_full_disk(place, monkeypatch):
    """Whichever file no longer fits: it is named, and the run can be gone on with, here until the next one doesn't."""
    for name in FILES:

        def sync(path, name=name):
            if path.name.startswith(f".{name.partition('.')[0]}.partial") and path.parent.name == "new":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        line = "lstm --resume --out new" if (place / "new").exists() else f"{RUN} --out new"
        with monkeypatch.context() as patch:
            patch.setattr(lab.run, "sync", sync)
            refused(line, f"No space left on device: 'new/{name}'", "--resume --out new")
        assert not (place / "new" / "result.json").exists()
    code, out, err = call("lstm --resume --out new")
    assert code == 0, err
    expected, found = result_of(place / "done"), result_of(place / "new")
    for key in ("train_perplexity", "valid_perplexity", "test_perplexity"):
        assert found[key] == expected[key]


@pytest.mark.parametrize("limit", [100, 1000, 5000, 20_000])
def test_files_that_may_not_grow(place, limit):
    """A real limit, which strikes in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        code, out, err = call(f"{RUN} --out new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2 and "Traceback" not in err and "File too large" in err
    assert not list(place.glob(".new-*"))
    if (place / "new").exists():
        assert call("lstm --resume --out new")[0] == 0
        assert result_of(place / "new")["test_perplexity"] == result_of(place / "done")["test_perplexity"]


def test_folder_that_cannot_be_written(place, monkeypatch):
    refused(f"{RUN} --out /proc/new", "/proc")
    (place / "file").touch()
    refused(f"{RUN} --out file/new", "file")
    monkeypatch.setattr(lab.learner.Learner, "train", None)  # not to be reached
    (place / "done" / "result.json").unlink()
    with read_only(monkeypatch, place / "done"):
        refused("lstm --resume --out done", "Read-only file system: 'done/")
        assert call("evaluate done")[0] == 0


@contextlib.contextmanager
def read_only(monkeypatch, folder):
    """Nothing can be written into a folder: permissions would not keep root from it."""
    write, opened = os.open, io.open

    def guard(before):
        def open(path, mode="r", *arguments, **options):
            writes = mode & (os.O_WRONLY | os.O_RDWR) if isinstance(mode, int) else set(mode) & set("wax+")
            if writes and os.path.abspath(os.path.dirname(path)) == str(folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return before(path, mode, *arguments, **options)

        return open

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", guard(write))
        patch.setattr(io, "open", guard(opened))
        patch.setattr("builtins.open", guard(opened))
        yield


def test_what_is_renamed_is_on_the_disk(place, monkeypatch):
    """A file before it takes its name, and before it pushes another out; then the folder's names."""
    events = []
    monkeypatch.setattr(lab.run, "sync", recorded(events, "sync", lab.run.sync))
    monkeypatch.setattr(os, "replace", recorded(events, "replace", os.replace))
    monkeypatch.setattr(os, "rename", recorded(events, "rename", os.rename))
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file, before=os.fsync: (synced.append(file), before(file)))
    path = place / "done" / "best.npz"
    save(path, {"weight": np.zeros(3)}, {})
    temporary = ".best.partial.npz"
    assert events == [
        ("sync", temporary),
        ("replace", "best.npz", "best.previous.npz"),
        ("sync", temporary),
        ("replace", temporary, "best.npz"),
        ("sync", "done"),
    ]
    assert len(synced) == 3
    events.clear()
    Run.create(place / "new", "stem", {"recipe.json": {}}, lambda run: None)
    assert events[-2:] == [("rename", "run", "new"), ("sync", place.name)]


def recorded(events, name, function):
    def record(*paths):
        events.append((name, *(os.path.basename(path) for path in paths)))
        return function(*paths)

    return record


@pytest.mark.parametrize("name", ["checkpoint.npz", "best.npz"])
def test_file_that_cannot_be_read_is_not_damaged(place, monkeypatch, name):
    """It stays where it is, and no older one is used in its place."""
    path = place / "done" / name

    def fail(file, *arguments, **options):
        if str(file).endswith(f"done/{name}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return before(file, *arguments, **options)

    before = open
    monkeypatch.setattr("builtins.open", fail)
    line = "lstm --resume --out done" if name == "checkpoint.npz" else "evaluate done"
    refused(line, "Input/output error", f"done/{name}")
    assert path.exists() and not list(path.parent.glob("*.damaged.npz"))


def test_curves_that_cannot_be_written_lose_nothing(place, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.UnknownError(None, None, "Input/output error")

    monkeypatch.setattr(tf.summary, "scalar", fail)
    code, out, err = call(f"{RUN} --out new")
    assert code == 0 and "new/tensorboard: Input/output error" in err
    for key in ("train_perplexity", "valid_perplexity", "test_perplexity"):
        assert result_of(place / "new")[key] == result_of(place / "done")[key]


# Tampering.


@pytest.mark.parametrize("name", ["checkpoint.npz", "best.npz"])
def test_checksum_finds_what_a_whole_archive_hides(place, name):
    """One number changed, and the archive's own sums put right."""
    path = place / "done" / name
    (place / "done" / name.replace(".npz", ".previous.npz")).unlink(missing_ok=True)
    with np.load(path) as archive:
        arrays = dict(archive)
    key = next(key for key in arrays if arrays[key].dtype == "float32" and arrays[key].ndim > 1)
    arrays[key].flat[0] += 1
    np.savez(path, **arrays)
    line = "lstm --resume --out done" if name == "checkpoint.npz" else "evaluate done"
    refused(line, f"done/{name}: damaged (its checksum is wrong)")


@pytest.mark.parametrize("line", ["evaluate done", "generate done"])
def test_recipe_or_vocabulary_of_another_run(place, line):
    path = place / "done" / "recipe.json"
    before = path.read_text()
    path.write_text(before.replace('"zoneout": 0.0', '"zoneout": 0.5'))
    refused(line, "recipe.json is not that of best.npz")
    path.write_text(before)
    path = place / "done" / "vocabulary.json"
    path.write_text(path.read_text().replace('"a"', '"z"'))
    refused(line, "vocabulary.json: damaged")


def test_damaged_checkpoint_is_set_aside_and_the_one_before_kept(place, monkeypatch):
    """Killed again before the next checkpoint is in its place, the run still has a whole one."""
    run = Run(place / "done")
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[:-9])
    assert load(run.folder / "checkpoint.previous.npz")[1]["progress"]["epoch"] == 1
    for damaged in (run.checkpoint, run.folder / "checkpoint.damaged.npz"):
        assert damaged.read_bytes() == whole[:-9]
        code, out, err = call("lstm --resume --out done")
        assert code == 0, err
        assert ("checkpoint.npz: damaged" in out) == (damaged == run.checkpoint)
        assert load(run.checkpoint)[1]["progress"]["epoch"] == 2
        assert load(run.folder / "checkpoint.previous.npz")[1]["progress"]["epoch"] == 1


def test_both_checkpoints_damaged(place):
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        (place / "done" / name).write_bytes(b"PK")
    refused("lstm --resume --out done", "done/checkpoint.npz: damaged", "checkpoint.previous.npz: dam")
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        (place / "done" / name).unlink(missing_ok=True)
    refused("lstm --resume --out done", "done/checkpoint.npz: missing; without it the run can't go on: start anew")


def test_damaged_best_weights_are_named(place, monkeypatch):
    """Unless the checkpoint has the same ones, or the file before."""
    path, earlier = (place / "done" / f"best{part}.npz" for part in ("", ".previous"))
    whole, before = path.read_bytes(), earlier.read_bytes()
    path.write_bytes(whole[:-9])
    assert call("lstm --resume --out done")[0] == 0
    assert load(path)[1]["epoch"] == 2
    arrays, facts = load(place / "done" / "checkpoint.npz")
    facts["progress"]["best_epoch"] = 1
    save(place / "done" / "checkpoint.npz", arrays, facts)
    for content in (whole, whole[:-9]):
        path.write_bytes(content)
        earlier.write_bytes(before)
        assert call("lstm --resume --out done")[0] == 0
        assert path.read_bytes() == before
    monkeypatch.setattr(lab.learner.Learner, "evaluate", None)  # not to be reached
    path.write_bytes(whole[:-9])
    earlier.write_bytes(whole)
    wanted = "best.npz: damaged", "best.previous.npz: not the weights of epoch 1", "start anew"
    refused("lstm --resume --out done", *wanted)
    path.unlink()
    earlier.unlink()
    refused("lstm --resume --out done", "best.npz: missing", "best.previous.npz: missing")


def test_killed_at_any_renaming_of_arrays(place, monkeypatch):
    """Whichever file is in its place by then, also where an epoch without a new best came before.

    A copy of the run's folder, made before each renaming, is what `kill -9` would leave there.
    """
    losses, copies = [5.0, 6.0, 4.0], []
    epoch, mean_loss, replace = lab.training.Training.epoch, lab.training.mean_loss, os.replace

    def with_loss(self, *rest):
        number = self.progress.epoch
        monkeypatch.setattr(
            lab.training,
            "mean_loss",
            lambda *given: losses[number] if given[2] == "valid" else mean_loss(*given),
        )
        epoch(self, *rest)

    def copy_and_replace(source, target):
        if pathlib.Path(target).suffix == ".npz" and (place / "whole").exists():
            copies.append(shutil.copytree(place / "whole", place / f"run-{len(copies)}"))
        replace(source, target)

    monkeypatch.setattr(lab.training.Training, "epoch", with_loss)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", copy_and_replace)
        assert call(f"{RUN} --epochs {len(losses)} --steps_per_epoch 1 --save_seconds 0 --out whole")[0] == 0
    assert load(place / "whole" / "best.npz")[1]["epoch"] == 3
    for copy in copies:
        code, out, err = call(f"lstm --resume --save_seconds 0 --out {copy.name}")
        assert code == 0, (copy.name, out, err)
        assert not kills.compare(copy, place / "whole"), copy.name
    assert len(copies) >= 15


def test_checkpoint_that_claims_to_be_huge(place):
    """The one before is used; without it the file is named."""
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, claim)
    expected = result_of(place / "done")["test_perplexity"]
    for part in ("", ".previous"):
        for name in ("checkpoint", "best"):
            with zipfile.ZipFile(place / "done" / f"{name}{part}.npz", "w") as archive:
                archive.writestr("huge.npy", header.getvalue())
        if not part:
            shutil.copytree(place / "done", place / "half")
    code, out, err = call("lstm --resume --out half")
    assert code == 0 and "checkpoint.npz: damaged, or too large" in out, err
    assert result_of(place / "half")["test_perplexity"] == expected
    refused("lstm --resume --out done", "checkpoint.npz: damaged, or too large")
    for line in ("evaluate done", "generate done"):
        refused(line, "best.npz: damaged, or too large")


@pytest.mark.parametrize("name", ["checkpoint.npz", "best.npz"])
def test_no_flipped_bit_is_taken_for_a_fault_of_the_disk(place, name):
    """All bits of the end of the archive, where it says what is where."""
    whole = (place / "done" / name).read_bytes()
    expected = load(place / "done" / name)
    end = whole.rindex(b"PK\5\6")
    for at, bit in itertools.product(range(end, len(whole)), range(8)):
        path = place / "flipped.npz"
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            arrays, facts = load(path)
        except InputError as error:
            assert "flipped.npz: damaged" in str(error)
        else:
            assert facts == expected[1]
            np.testing.assert_equal(arrays, expected[0])


def test_scores_and_model_are_of_the_weights_best_on_validation(place):
    """The second epoch's rate ruins what the first has learnt."""
    assert call(f"{RUN} --decay 1000 --decay_after 1 --out worse")[0] == 0
    result, history = result_of(place / "worse"), history_of(place / "worse")
    assert result["metrics"]["best_epoch"] == 1 and result["epochs"] == 2
    assert history[0]["valid_perplexity"] == result["valid_perplexity"]
    assert history[1]["valid_perplexity"] > 1.5 * result["valid_perplexity"]
    found = json.loads(call("evaluate worse")[1])
    for split in ("valid", "test"):
        name = f"{split}_perplexity"
        assert found[name] == pytest.approx(result[name], rel=1e-6)
    model = keras.saving.load_model(place / "worse" / "model.keras")
    learnt, _ = load(place / "worse" / "best.npz")
    for number, variable in enumerate(model.trainable_variables):
        np.testing.assert_array_equal(variable.numpy(), learnt[f"weight {number}"])


def test_patience_ends_a_run_that_gets_no_better(place):
    """After the first epoch each is worse, as above; as long as one gets better it goes on."""
    worse = f"{RUN} --decay 20 --decay_after 1 --epochs 9"
    assert call(f"{worse} --patience 2 --out short")[0] == 0
    result, history = result_of(place / "short"), history_of(place / "short")
    assert (result["epochs"], result["metrics"]["best_epoch"], len(history)) == (3, 1, 3)
    log = (place / "short" / "log.txt").read_text()
    end = "no epoch since 1 was better on validation (patience=2)"
    assert f"ended early, after epoch 3 of 9: {end}" in log
    assert f"finished already: {end}" in call("lstm --resume --out short")[2]
    refused("lstm --resume --out short --epochs 12", f"epochs=12: short ended after epoch 3: {end}")
    assert call(f"{RUN} --epochs 4 --patience 1 --out better")[0] == 0
    losses = [epoch["valid_perplexity"] for epoch in history_of(place / "better")]
    best = losses.index(min(losses))
    assert best > 0 and losses[: best + 1] == sorted(losses[: best + 1], reverse=True)
    assert len(losses) == min(best + 2, 4)
    refused(f"{RUN} --patience 0 --out never", "patience=0: must be")


def test_a_finished_run_is_trained_on(place):
    """As if it had been begun for so many epochs."""
    assert call(f"{RUN} --epochs 4 --out long")[0] == 0
    assert "ended early" not in (place / "long" / "log.txt").read_text()
    code, out, err = call("lstm --resume --epochs 4 --out done")
    assert code == 0 and "training on to epoch 4, with the learning rate of a run of 4 epochs, from 0.01" in out
    assert "continuing done in epoch 3 of 4" in err
    (one, facts), (other, expected) = (load(place / name / "checkpoint.npz") for name in ("done", "long"))
    for name in one.keys() - {"step_seconds"}:
        np.testing.assert_array_equal(one[name], other[name])
    for key in ("valid_perplexity", "test_perplexity", "epochs"):
        assert result_of(place / "done")[key] == result_of(place / "long")[key]
    assert [epoch["train_loss"] for epoch in facts["progress"]["history"]] == [
        epoch["train_loss"] for epoch in expected["progress"]["history"]
    ]
    refused("lstm --resume --epochs 3 --out done", "epochs=3: must be at least 4, those of done")
    for more in ("", "--epochs 4"):
        code, _, err = call(f"lstm --resume --out done {more}")
        assert code == 0 and "done was finished already: all epochs are done; --epochs N trains it on" in err
        assert "continuing" not in err
    out = call("compare done long --out both.png")[1]
    assert out.count("epochs=4") == 2


def test_a_run_that_is_trained_on_can_be_stopped(place, monkeypatch):
    """The schedule is from there on that of the longer run, and its result is away until there is a new one."""
    assert call(f"{RUN} --anneal linear --out new")[0] == 0
    train = lab.learner.Learner.train

    def send(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return train(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(lab.learner.Learner, "train", send)
        code, out, err = call("lstm --resume --epochs 4 --out new")
    assert code == 130 and "from 0.005" in out and not (place / "new" / "result.json").exists()
    assert call("lstm --resume --out new")[0] == 0
    rates = [epoch["learning_rate"] for epoch in history_of(place / "new")]
    assert rates == pytest.approx([0.0075, 0.0025, 0.00375, 0.00125])
    assert result_of(place / "new")["epochs"] == 4


def history_of(folder):
    return load(folder / "checkpoint.npz")[1]["progress"]["history"]


def test_every_epoch_begins_with_the_text(place, monkeypatch):
    begun, before = [], lab.learner.Learner.start
    monkeypatch.setattr(lab.learner.Learner, "start", lambda self: (begun.append(1), before(self)))
    assert call(f"{RUN} --out new")[0] == 0
    assert len(begun) == 3  # when it is made, and for two epochs


def test_recipe_that_is_not_the_checkpoints(place):
    path = place / "done" / "recipe.json"
    about = json.loads(path.read_text())
    about["recipe"]["learning_rate"] = 0.5
    path.write_text(json.dumps(about))
    refused("lstm --resume --out done", "recipe.json", "learning_rate=0.5 (was 0.01)")


@pytest.mark.parametrize(
    "field, value",
    [
        ("epoch", -1),
        ("epoch", 1),
        ("epoch", 10**9),
        ("epoch", "2"),
        ("epoch", True),
        ("step", 1),
        ("step", -3),
        ("step", None),
        ("loss", "0"),
        ("loss", float("nan")),
        ("epochs", 1),
        ("best_loss", None),
        ("best_loss", []),
        ("best_epoch", 3),
        ("best_epoch", 0),
        ("history", None),
        ("history", {}),
        ("history", [{}, {}]),
        ("history", [1, 2]),
        ("history", [{"train_loss": "x", "train_perplexity": 1, "valid_perplexity": 1}] * 2),
        ("seconds", -1),
        ("seconds", "long"),
        ("unknown", 1),
    ],
)
def test_facts_that_cannot_be(place, field, value, monkeypatch):
    """With the right checksum: someone has written them."""
    path = place / "done" / "checkpoint.npz"
    arrays, facts = load(path)
    facts["progress"][field] = value
    monkeypatch.setattr(json, "dumps", lambda value, allow_nan=True, dumps=json.dumps: dumps(value))
    save(path, arrays, facts)
    monkeypatch.undo()
    os.chdir(place)
    refused("lstm --resume --out done", "done/checkpoint.npz: damaged", field)


@pytest.mark.parametrize("change", ["missing", "shape", "type", "text", "more", "nan", "seconds", "none"])
def test_arrays_that_cannot_be(place, change):
    for name in ("checkpoint.npz", "best.npz"):
        path = place / "done" / name
        arrays, facts = load(path)
        key = next(key for key in arrays if arrays[key].dtype == "float32" and arrays[key].ndim > 1)
        match change:
            case "missing":
                del arrays[key]
            case "shape":
                arrays[key] = arrays[key][..., None]
            case "type":
                arrays[key] = arrays[key].astype("complex64")
            case "text":
                arrays[key] = np.full(arrays[key].shape, "x")
            case "more":
                arrays["stranger"] = np.zeros(3)
            case "nan":
                arrays[key] = np.full_like(arrays[key], np.nan)
            case "seconds":
                arrays["step_seconds"] = np.array("x")
            case "none":
                arrays.clear()
        save(path, arrays, facts)
    refused("lstm --resume --out done", "done/checkpoint.npz: ")
    if change != "seconds":
        refused("evaluate done", "done/best.npz: ")


@pytest.mark.parametrize("text", ["[]", "3", "{", "", "\xff", "[" * 99999, '{"recipe": 3}', "null"])
@pytest.mark.parametrize("name", ["recipe.json", "vocabulary.json"])
def test_json_that_cannot_be(place, name, text):
    (place / "done" / name).write_bytes(text.encode("latin-1"))
    line = "lstm --resume --out done" if name == "recipe.json" else "generate done"
    refused(line, name.removesuffix(".json"))


# A stranger's files.


class Bomb:
    """What unpickling, or calling, would set off."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("name", ["checkpoint.npz", "best.npz"])
def test_pickles_in_a_run_are_not_read(place, name):
    path = place / "done" / name
    arrays, _ = load(path)
    key = next(iter(arrays))
    np.savez(path, **arrays | {key: np.array([Bomb()], object), "facts.json": np.array([Bomb()], object)})
    (place / "done" / name.replace(".npz", ".previous.npz")).unlink(missing_ok=True)
    refused("evaluate done" if name == "best.npz" else "lstm --resume --out done", f"{name}: damaged")
    np.save(path, np.array([Bomb()], object))
    os.replace(path.with_suffix(".npz.npy"), path)
    refused("evaluate done" if name == "best.npz" else "lstm --resume --out done", f"{name}: damaged")
    assert not (place / "exploded").exists()


def lambda_layer():
    function = keras.layers.Lambda(lambda x: __import__("os").mkdir("exploded") or x)
    return keras.saving.serialize_keras_object(function)


EVIL = {
    "lambda": lambda_layer,
    "lambda as an activation": lambda: lambda_layer()["config"]["function"],
    "function": lambda: {
        "module": "os",
        "class_name": "function",
        "config": "mkdir",
        "registered_name": "mkdir",
    },
    "class": lambda: {
        "module": "subprocess",
        "class_name": "Popen",
        "config": {"args": ["mkdir", "exploded"]},
        "registered_name": None,
    },
}


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("where", ["layer", "cell", "activation"])
def test_model_of_a_stranger_runs_no_code(place, evil, where):
    """A layer, a cell of ours, or a cell's argument that brings its own code."""
    path = place / "done" / "model.keras"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    layer = next(part for part in config["config"]["layers"] if part["class_name"] == "RNN")
    if where == "layer":
        layer |= EVIL[evil]()
    elif where == "cell":
        layer["config"]["cell"] = EVIL[evil]()
    else:
        layer["config"]["cell"]["config"]["kernel_initializer"] = EVIL[evil]()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    with pytest.raises((TypeError, ValueError)):
        keras.saving.load_model(path)(np.zeros((1, 3), "int32"))
    assert not (place / "exploded").exists()
    if (where, evil) == ("layer", "lambda"):  # the bomb is no dud
        with contextlib.suppress(Exception):
            keras.saving.load_model(path, safe_mode=False)
        assert (place / "exploded").exists()
