"""Several runs in one picture and one table."""

import contextlib

import pytest

from tests.tiny import RUN, call, write_corpus

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
    from recipes import compare

    monkeypatch.chdir(place)
    with pytest.warns(DeprecationWarning, match="will go in version 0.4: use python train.py compare"):
        assert compare.main(["one", "two", "--out", "old.png"]) == 0
    assert (place / "old.png").exists()
