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
from lab.options import absolute, parse, path, settle
from lab.recipe import fields
from recipes import TARGETS
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
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        parse([*arguments], TARGETS)
    return " ".join(out.getvalue().split())


def default_of(name, text):
    """What help says of a field's default, None if nothing."""
    found = re.search(rf"--{re.escape(name)} VALUE(?:, --\S+ VALUE)?((?: (?!--)\S+)*)", text)
    assert found, name
    default = re.search(r"; (\S+) by default", found[1])
    return default and default[1]


@pytest.mark.parametrize("target, size", SIZES)
def test_help_says_what_is_so_by_default(target, size, monkeypatch):
    """Of that size, wherever it is named; and what it says can be given."""
    monkeypatch.setenv("COLUMNS", "200")
    recipe = TARGETS[target][size].recipe
    first = told(target, f"--size={size}", "--help")
    assert told(f"--size={size}", target, "-h") == told("--help", target, "--size", size) == first
    hints, values = fields(recipe), recipe.values()
    for name, hint in hints.items():
        default = default_of(name, first)
        if name in values:
            assert read(name, hint, default) == values[name]
        elif default is not None:
            read(name, hint, default)


@pytest.mark.parametrize("cell", tfcells.CELLS)
def test_help_is_of_the_cell_and_the_wrapper_that_are_named(cell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = told("lstm", f"--cell={cell}", "--wrapper", "zoneout", "--help")
    assert default_of("cell", text) == cell and default_of("wrapper", text) == "Zoneout"
    known, _ = TARGETS["lstm"]["small"].recipe.known(cell=cell, wrapper="zoneout")
    for name, hint in known.items():
        default = default_of(name, text)
        if default is not None:
            read(name, hint, default)
    assert set(re.findall(r"--((?:cell|wrapper)\.\w+) VALUE", text)) == {n for n in known if "." in n}


@pytest.mark.parametrize(
    "line, message", [("hypernets --size papier --help", "no size 'papier'"), ("lstm --cell x -h", "cell=x: must be")]
)
def test_help_on_what_there_is_not_is_refused(line, message):
    with pytest.raises(InputError, match=message):
        parse(line.split(), TARGETS)


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
