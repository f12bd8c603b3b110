"""The command line: paths, what --help says, what is refused before anything is looked for."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil

import pytest

import tfcells
from lab.fields import InputError, read
from lab.options import absolute, parse, path, place_of, settle
from lab.recipe import fields
from lab.run import Run
from recipes import TARGETS, penn_treebank
from tests.tiny import RUN, call, result_of, write_corpus

SIZES = [(target, size) for target, sizes in TARGETS.items() for size in sizes]


def settled(line, *more):
    return settle(*parse([*line.split(), *more], TARGETS), TARGETS)


# Paths.


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "home"


@pytest.mark.parametrize("flag", ["--corpus", "--data_dir", "--data-dir"])
def test_paths_are_kept_from_the_root_on(home, flag):
    name = flag.strip("-").replace("-", "_")
    for text, expected in {
        "text": home.parent / "place" / "text",
        "./ptb": home.parent / "place" / "ptb",
        "../x/../text": home.parent / "text",
        "~/text": home / "text",
        "/text": pathlib.Path("/text"),
    }.items():
        for arguments in ([flag, text], [f"{flag}={text}"]):
            assert settled("lstm", *arguments)[1][name] == str(expected)
            options, _ = parse(["evaluate", "run", *arguments], TARGETS)
            if name == "data_dir":
                assert options.data_dir == str(expected)
    assert settled("lstm", f"{flag}=")[1][name] == ""


@pytest.mark.parametrize("target", TARGETS)
def test_names_of_corpora_are_no_paths(home, target):
    recipe = next(iter(TARGETS[target].values())).recipe
    for name in recipe.corpora:
        assert settled(target, "--corpus", name)[1]["corpus"] == name
    assert settled(target)[1]["corpus"] == "auto"
    for size, entry in TARGETS[target].items():
        assert settled(target, "--size", size)[1]["corpus"] == entry.corpus in recipe.corpora
        assert settled(target, "--size", size, "--corpus", "auto")[1]["corpus"] == "auto"


@pytest.mark.parametrize("line", ["lstm --out={}", "evaluate {}", "generate {}", "compare {} --out={}"])
def test_ones_own_folder_is_found_without_a_shell(home, line):
    options, _ = parse(line.replace("{}", "~/x").split(), TARGETS)
    found = {str(getattr(options, name)) for name in ("out", "run") if getattr(options, name, None)}
    assert found | {str(each) for each in getattr(options, "runs", [])} == {str(home / "x")}


def test_paths_that_are_none():
    assert absolute("") == "" and path("~no such user/x") == pathlib.Path("~no such user/x")


@pytest.mark.parametrize(
    "kind, told", [("folder", "no run"), ("file", "no run"), ("link", "a link to nothing"), ("run", "")]
)
def test_a_new_run_does_not_take_the_place_of_anything(home, kind, told):
    out = pathlib.Path("out")
    match kind:
        case "folder":
            out.mkdir()
        case "file":
            out.touch()
        case "link":
            out.symlink_to("nowhere")
        case "run":
            out.mkdir()
            (out / "recipe.json").touch()
    with pytest.raises(InputError, match="--out out: exists already") as caught:
        settled("lstm --out out")
    assert ("--resume would continue it" in str(caught.value)) == (kind == "run")
    assert told in str(caught.value)


@pytest.mark.slow
def test_a_run_is_used_from_another_folder_and_after_a_move(home):
    write_corpus(pathlib.Path("text"))
    assert call(f"{RUN} --out ~/runs/one".replace("--out ", "--out="))[0] == 0
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.move(home / "runs" / "one", elsewhere / "moved")
    with contextlib.chdir(elsewhere):
        assert call("evaluate moved")[0] == 0
        (elsewhere / "moved" / "result.json").unlink()
        assert call("lstm --resume --out moved")[0] == 0
        assert result_of(elsewhere / "moved")["folder"] == str(home.parent / "place" / "text")
        (home.parent / "place" / "text").rename(elsewhere / "other")
        for line in ("evaluate moved", "lstm --resume --out moved"):
            code, _, err = call(line)
            assert code == 2 and "--corpus '" in err.splitlines()[-1]
            assert call(f"{line} --corpus other")[0] == 0
    code, _, err = call("lstm --corpus ptb --data_dir nowhere")
    assert code == 2 and "--data_dir " in err and "nowhere: no such folder" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ptb", "pydoc", "auto", "text"])
def test_a_folder_of_ones_own_is_named_as_one(home, name):
    write_corpus(pathlib.Path(name))
    assert call(f"{RUN} --epochs 1 --out one".replace("--corpus text", f"--corpus ./{name}"))[0] == 0
    result, said = result_of(pathlib.Path("one")), json.loads(call("evaluate one")[1])
    for found in (result, said):
        assert found["folder"] == os.path.abspath(name)
        assert found["corpus"] == (name if name == "text" else os.path.abspath(name))


# Help.


def told(*arguments):
    """What --help says of each flag, in a line."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        parse([*arguments], TARGETS)
    lines = (re.fullmatch(r"  (?:-h, )?--(\S+)(?: \S+)? {2,}(.+)", line) for line in out.getvalue().splitlines())
    return {line[1]: line[2] for line in lines if line}


def default_of(text):
    found = re.search(r"\(default: (\S+)\)$", text)
    return found and found[1]


@pytest.mark.parametrize("target, size", SIZES)
def test_help_says_what_is_so_by_default(target, size):
    """Of that size, wherever it is named; and what it says can be given."""
    recipe = TARGETS[target][size].recipe
    first = told(target, f"--size={size}", "--help")
    assert told(f"--size={size}", target, "-h") == told("--help", target, "--size", size) == first
    hints, values = fields(recipe), recipe.values()
    for name, hint in hints.items():
        default = default_of(first[name])
        if name in values:
            assert read(name, hint, default) == values[name]
        else:
            read(name, hint, default)
    assert default_of(first["corpus"]) == TARGETS[target][size].corpus in recipe.corpora


@pytest.mark.parametrize("cell", tfcells.CELLS)
def test_help_is_of_the_cell_and_the_wrapper_that_are_named(cell):
    text = told("lstm", f"--cell={cell}", "--wrapper", "zoneout", "--help")
    assert default_of(text["cell"]) == cell and default_of(text["wrapper"]) == "Zoneout"
    known, _ = TARGETS["lstm"]["small"].recipe.known(cell=cell, wrapper="zoneout")
    for name, hint in known.items():
        if default := default_of(text[name]):
            read(name, hint, default)
    assert {name for name in text if "." in name} == {name for name in known if "." in name}


@pytest.mark.parametrize(
    "line", ["", *(f"{target} --size {size}" for target, size in SIZES), "evaluate", "generate", "compare"]
)
def test_help_is_a_line_a_flag_that_says_what_it_means(line):
    for name, text in told(*line.split(), "--help").items():
        assert len(text) < 140 and not re.search("3e38|1000000|an argument of|None", text), name
        assert len(re.sub(r"\(default.*", "", text).split()) > 1, name


def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--version"], TARGETS)
    assert (ended.value.code, capsys.readouterr().out) == (None, f"tfcells {tfcells.__version__}\n")


def test_help_of_all_targets_is_of_what_they_share():
    text = told("--help")
    assert {"units", "epochs", "learning_rate", "size", "quick"} <= text.keys()
    assert not {"word_dropout", "cell.depth", "symbols"} & text.keys()
    assert text["optimizer"].endswith(": sgd or adam")


def test_help_names_the_corpora_of_the_target():
    assert "pydoc, or a folder" in told("rhn", "--help")["corpus"]
    assert "mnist, digits (" in told("mnist", "--help")["corpus"]


@pytest.mark.parametrize("line", ["--learning-rate 3 --batch-size=7", "--lr 3 --batch_size 7"])
def test_a_flag_by_its_other_names(home, line):
    recipe = settled(f"lstm {line}")[0]
    assert (recipe.learning_rate, recipe.batch_size) == (3, 7)


def test_one_field_by_two_names_is_refused(home):
    with pytest.raises(InputError, match="lr: must not be given with learning_rate, which is the same"):
        settled("lstm --lr 1 --learning_rate 2")


# --list.


def test_a_target_is_listed_with_its_sizes_scores_and_fields():
    code, out, err = call("--list rhn")
    assert code == 0 and not err
    assert out == call("rhn --list")[1]
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    for size, entry in TARGETS["rhn"].items():
        for text in (f"{entry.parameters:,}", entry.published, entry.own, entry.paper, entry.source):
            assert text in lines[size]
    units = [str(size.recipe.units) for size in TARGETS["rhn"].values()]
    assert lines["units"].split()[1 : len(units) + 1] == units
    assert lines.keys() >= fields(TARGETS["rhn"]["small"].recipe).keys()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_listed(target):
    assert call(f"--list {target}")[0] == 0


@pytest.mark.parametrize(
    "line, message",
    [
        ("--list rnh", "unknown target 'rnh'; did you mean rhn?"),
        ("--list gru", "unknown target 'gru'; it is a cell: lstm --cell gru"),
        ("--list rhn --units 3", "not with --units"),
        ("--list --resume", "not with --resume"),
        ("--list rhn --size paper", "not with --size"),
    ],
)
def test_what_a_list_has_no_use_for_is_refused(line, message):
    code, out, err = call(line)
    assert code == 2 and not out and message in err


@pytest.mark.parametrize(
    "line, message", [("hypernets --size papier --help", "no size 'papier'"), ("lstm --cell x -h", "cell=x: must be")]
)
def test_help_on_what_there_is_not_is_refused(line, message):
    with pytest.raises(InputError, match=message):
        parse(line.split(), TARGETS)


# A quick look.


@pytest.mark.parametrize("target", penn_treebank.TARGETS)
def test_every_language_model_has_a_size_for_a_quick_look(home, target):
    """On the text that comes with Python, with enough epochs for a curve."""
    recipe, settings, _ = settled(f"{target} --quick")
    assert (settings["size"], settings["corpus"]) == ("quick", "pydoc")
    assert recipe == TARGETS[target]["quick"].recipe and recipe.epochs >= 5
    assert recipe.cell in {size.recipe.cell for name, size in TARGETS[target].items() if name != "quick"}
    assert settled(f"{target} --size quick")[:2] == (recipe, settings)
    few = recipe.replace(steps_per_epoch="150")  # of a longer text, so that it is a quick look still
    given, settings, _ = settled(f"{target} --quick --data_dir ptb")
    assert (given, settings["corpus"]) == (few, "auto")
    given, settings, _ = settled(f"{target} --quick --corpus ptb")
    assert (given, settings["corpus"]) == (few, "ptb")
    assert settled(f"{target} --quick --corpus ptb --steps_per_epoch 9")[0].steps_per_epoch == 9
    assert settled(f"{target} --quick --corpus .")[0] == recipe


@pytest.mark.parametrize(
    "line, message",
    [
        ("sine --quick", "sine has no size 'quick'; there are sine, sum; language models have it"),
        ("rhn --quick --size small", "--size: not allowed with argument --quick"),
    ],
)
def test_a_quick_look_that_there_is_not_is_refused(home, line, message):
    code, _, err = call(line)
    assert code == 2 and message in err


@pytest.mark.slow
def test_a_quick_look_ends_with_the_command_for_the_real_run(home, monkeypatch):
    text = {split: ["a b <unk> c"] * 200 for split in ("train", "valid", "test")}
    monkeypatch.setattr("data.pydoc.source.corpus", lambda: text)
    line = "rhn --quick --units 4 --embedding_units 3 --steps_per_epoch 1 --engine eager --cell=gru --wrapper mogrifier"
    code, out, err = call(line)
    assert code == 0 and "training rhn quick with GRUCell in Mogrifier on pydoc: " in err
    assert "8 epochs of 1 step, in runs/rhn-quick-1" in err
    folder = pathlib.Path("runs/rhn-quick-1")
    assert result_of(folder) == json.loads(out.splitlines()[-1]) and result_of(folder)["corpus"] == "pydoc"
    assert len(re.findall("^epoch .*valid", (folder / "log.txt").read_text(), re.MULTILINE)) >= 5
    assert "--data_dir" in err.partition("epoch 1/")[0].strip().splitlines()[-1]
    assert err.splitlines()[-1].endswith(
        "The real run: python train.py rhn --cell=gru --wrapper mogrifier --data_dir FOLDER"
    )
    write_corpus(pathlib.Path("text"))
    own = "--corpus text --level char"
    line = f"lstm --quick --cell rhn --depth 2 {own} --units 4 --epochs 1 --steps_per_epoch 1 --batch_size 2 --steps 4"
    code, _, err = call(f"{line} --engine eager")
    assert code == 0 and err.splitlines()[-1].endswith(f"python train.py lstm --cell rhn --depth 2 {own}")


# What NumPy can't do is said before any data are looked for.


@pytest.mark.parametrize(
    "line, message",
    [
        ("rhn", "--engine numpy: must be graph"),
        ("lstm --cell gru", "--engine numpy: must be graph"),
        ("lstm --size tied", "tied=True: must be false with --engine numpy"),
        ("mnist", "--engine numpy: must be graph"),
        ("sine", "--engine numpy: must be graph"),
        ("lstm --precision mixed_bfloat16", "--precision=mixed_bfloat16: must be float32 or float64"),
        ("lstm --wrapper zoneout --wrapper.rate 0.1", "wrapper='Zoneout': must be none with --engine numpy"),
    ],
)
def test_an_engine_that_will_not_do_is_refused_at_once(home, monkeypatch, line, message):
    for module in ("lab.tasks.corpus.read", "lab.tasks.digits.read"):
        monkeypatch.setattr(module, None)  # not to be reached
    code, _, err = call(f"{line} --engine numpy")
    assert code == 2 and message in err


@pytest.mark.parametrize("corpus, read", [("ptb", True), ("mnist", True), ("pydoc", False), ("sine", False)])
def test_a_run_that_never_read_its_data_dir_goes_on_without(tmp_path, corpus, read):
    settings = {"corpus": corpus, "data_dir": str(tmp_path)}
    assert place_of(Run(tmp_path), settings, corpus, None) == (str(tmp_path) if read else None)
    assert place_of(Run(tmp_path), settings, corpus, "given") == "given"
