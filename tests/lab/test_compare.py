"""Several runs in one picture and one table."""

import contextlib
import json
import pathlib
import shutil

import pytest

from lab import compare
from lab.run import Run
from recipes import TARGETS
from tests.tiny import RUN, call, result_of, write_corpus

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with two language models, one of them unfinished, and a task."""
    place = tmp_path_factory.mktemp("compare")
    write_corpus(place / "text")
    with contextlib.chdir(place):
        assert call(f"{RUN} --out one")[0] == 0
        assert call(f"{RUN} --units 4 --out two")[0] == 0
        (place / "two" / "result.json").unlink()
        task = "numbers --units 3 --epochs 1 --train_examples 2 --count 2 --features 2 --out task"
        assert call(task)[0] == 0
        yield place


def run(*arguments):
    return call(["compare", *arguments])


def test_two_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    code, out, _ = run("one", "two", "--out", "pictures/both.png")
    assert code == 0 and (place / "pictures/both.png").read_bytes().startswith(b"\x89PNG")
    head, rule, one, two = out.splitlines()
    assert "train perplexity" in head and set(rule) <= set("|- ")
    assert "not finished" not in one and "not finished" in two
    assert "units=4" in two and "epochs=2" in one
    assert len({line.count("|") for line in out.splitlines()}) == 1
    assert run("one", str(place / "one"), "two", "./two", "--out", "pictures/both.png")[1] == out  # each once


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_corpora_are_told_apart(place, monkeypatch):
    """By name, and where that is the same by their sums; each has axes of its own."""
    monkeypatch.chdir(place)
    for number, folder in enumerate(["other", "a/text", "b/text"]):
        (place / folder).parent.mkdir(exist_ok=True)
        write_corpus(place / folder, seed=number + 1)
        line = f"{RUN} --epochs 1 --out corpus-{number}".replace("--corpus text", f"--corpus {folder}")
        assert call(line)[0] == 0
    names = "corpus-1", "one", "corpus-0", "two", "corpus-2"
    code, out, _ = run(*names, "--out", "corpora.png")
    rows = [cells_of(line) for line in out.splitlines()[2:]]
    assert code == 0 and [row[1] for row in rows] == ["corpus-1", "one", "two", "corpus-0", "corpus-2"]
    corpora = [row[3] for row in rows]
    assert corpora[1] == corpora[2] and corpora[3] == "other" and len(set(corpora)) == 4
    stories = [compare.story(Run(place / name), TARGETS) for name in names]
    compare.tell_apart(stories)
    axes = compare.draw(stories, "perplexity").axes
    assert len(axes) == 8 and len({each.get_title() for each in axes}) == 8
    assert [len(each.lines) for each in axes] == [1, 1, 2, 2, 1, 1, 1, 1]


def test_words_and_characters_are_no_one_score(place, monkeypatch):
    monkeypatch.chdir(place)
    assert call(f"{RUN} --epochs 1 --level char --out chars")[0] == 0
    code, out, err = run("one", "chars", "--out", "no.png")
    assert code == 2 and not out and not (place / "no.png").exists()
    assert (
        "must be runs with the same score; these have perplexity of words in one; perplexity of characters in chars"
        in err
    )


def test_shares_of_unknown_tokens_are_columns(place, monkeypatch):
    monkeypatch.chdir(place)
    head, _, one, two = run("one", "two", "--out", "shares.png")[1].splitlines()
    for line, name in ((one, "one"), (two, "one")):  # the same text; that of two is in its recipe.json
        row = dict(zip(cells_of(head), cells_of(line)))
        for split in ("valid", "test"):
            share = result_of(place / name)[f"{split}_unknown"]
            assert row[f"unknown, {split}"] == f"{100 * share:.2g} %" and share > 0


def test_runs_of_version_0_2_are_compared(place, monkeypatch, tmp_path):
    """Their recipe.json does not describe the data, and result.json has no shares of unknown tokens."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "one", "old")
    about = json.loads(pathlib.Path("old/recipe.json").read_text())
    pathlib.Path("old/recipe.json").write_text(json.dumps({k: v for k, v in about.items() if k != "data"}))
    result = {k: v for k, v in result_of(pathlib.Path("old")).items() if k not in about["data"]} | {"corpus": "text"}
    pathlib.Path("old/result.json").write_text(json.dumps(result))
    code, out, _ = run("old", str(place / "one"), "--out", "both.png")
    assert code == 0 and len(out.splitlines()) == 4


@pytest.mark.parametrize("count", [1, 25, 60])
def test_any_number_of_runs_is_seen(count):
    """The axes keep their size, and every line has its number where names are long."""
    history = [{"epoch": n, "train_perplexity": 5.0 + n, "valid_perplexity": 6.0 + n} for n in (1, 2, 3)]
    stories = [{"name": f"lstm {n}", "changed": "units=3, " * 9, "history": history} for n in range(count)]
    figure = compare.draw(stories, "perplexity")
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert box.width > 3 and box.height > 2.5
        looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.lines]
        assert len(set(looks)) == count
    assert [text.get_text() for text in axes.texts] == [str(n + 1) for n in range(count)]


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_an_axis_has_whole_epochs_and_room(epochs):
    history = [{"epoch": n + 1, "train_perplexity": 9.0, "valid_perplexity": 10.0} for n in range(epochs)]
    figure = compare.draw([{"name": "one", "changed": "", "history": history}], "perplexity")
    for axes in (*figure.axes, *compare.learning_curve(history, "perplexity").axes):
        low, high = axes.get_xlim()
        assert low <= 0.5 and high >= epochs + 0.5 and high < epochs + 0.5 + epochs
        assert all(tick == int(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize("name", ["x.bmp", "x.pgf", "x.png.nonsense", "nowhere/x.xyz"])
def test_a_picture_of_another_kind_is_refused(place, monkeypatch, name):
    monkeypatch.chdir(place)
    code, out, err = run("one", "--out", name)
    assert code == 2 and not out and f"--out {name}: must end in" in err and ".png" in err
    assert not (place / "nowhere").exists()


@pytest.mark.parametrize(
    "name, start", [("y.PNG", b"\x89PNG"), ("y.pdf", b"%PDF"), ("y.svg", b"<?xml"), ("y", b"\x89PNG")]
)
def test_a_picture_is_of_the_kind_that_its_name_says(place, monkeypatch, name, start):
    monkeypatch.chdir(place)
    assert run("one", "--out", name)[0] == 0
    assert (place / name).read_bytes().startswith(start)


def test_seeds_and_engines_are_told_apart(place, monkeypatch):
    monkeypatch.chdir(place)
    assert call(f"{RUN} --seed 2 --engine graph --out three")[0] == 0
    code, out, _ = run("one", "three", "--out", "seeds.png")
    assert code == 0 and "engine='eager'" in out and out.count("seed=2") == 1


@pytest.mark.parametrize(
    "arguments, culprit",
    [(["nowhere"], "nowhere"), (["one", "task"], "score"), (["text"], "text")],
)
def test_bad_runs_are_refused_by_name(place, monkeypatch, arguments, culprit):
    monkeypatch.chdir(place)
    code, out, err = run(*arguments, "--out", "no.png")
    assert code == 2 and culprit in err and not out
    assert not (place / "no.png").exists()


def test_the_old_name_says_that_it_goes(place, monkeypatch):
    from recipes import compare as old

    monkeypatch.chdir(place)
    with pytest.warns(DeprecationWarning, match="will go in version 0.4: use python train.py compare"):
        assert old.main(["one", "two", "--out", "old.png"]) == 0
    assert (place / "old.png").exists()
