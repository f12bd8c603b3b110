"""Memory: how much there is, and what is said when it runs out."""

import pytest
import tensorflow as tf

import lab.learner
import lab.memory
from lab.fields import InputError
from lab.memory import available, check_fits, enough_memory, remedy
from recipes import TARGETS
from tests.tiny import RUN, TINY, call, random_corpus, write_corpus

GIB = 2**30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that puts this process into control groups with these limits."""
    monkeypatch.setattr(lab.memory, "PROC", tmp_path / "cgroup")
    monkeypatch.setattr(lab.memory, "CGROUPS", tmp_path / "groups")

    def put(lines, limits):
        (tmp_path / "cgroup").write_text(lines)
        for path, text in limits.items():
            file = tmp_path / "groups" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return put


@pytest.mark.parametrize(
    "lines, limits, expected",
    [
        ("0::/\n", {"memory.max": f"{GIB}\n"}, GIB),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": f"{2 * GIB}"}, 2 * GIB),
        ("0::/outside/it\n", {"memory.max": f"{GIB}"}, GIB),
        ("9:cpu:/x\n4:memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": f"{GIB}"}, GIB),
        ("4:memory:/docker/x\n", {"memory/memory.limit_in_bytes": f"{3 * GIB}"}, 3 * GIB),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("", {}, None),
    ],
)
def test_a_containers_limit_is_what_there_is(groups, lines, limits, expected):
    machine = available()
    groups(lines, limits)
    assert available() == (min(expected, machine) if expected else machine)


def test_a_network_beyond_the_limit_is_refused(groups):
    corpus = random_corpus()
    batches = TINY.evaluation(corpus, "test")
    check_fits(TINY, corpus, batches)
    groups("0::/\n", {"memory.max": "1000"})
    with pytest.raises(InputError, match="make units, batch_size or steps smaller.*evaluation_batch_size"):
        check_fits(TINY, corpus, batches)


@pytest.mark.parametrize("target", TARGETS)
def test_the_remedy_is_fields_of_the_recipe(target):
    recipe = next(iter(TARGETS[target].values())).recipe
    text = remedy(recipe)
    named = [name for name in recipe.values() if name in text.replace(",", " ").split()]
    assert {"units", "batch_size", "evaluation_batch_size"} <= set(named)
    assert ("steps" in named) == hasattr(recipe, "steps")


SHORTAGES = {
    "numpy": MemoryError("Unable to allocate 8.00 EiB for an array"),
    "bare": MemoryError(),
    "graph": tf.errors.ResourceExhaustedError(
        None, None, "Graph execution error:\n\nDetected at node X\nOOM when allocating tensor with shape[9,9]\n\t [[X]]"
    ),
    "xla": tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes."),
    "system": OSError(12, "Cannot allocate memory"),
}


@pytest.mark.parametrize("kind", SHORTAGES)
def test_every_shortage_is_known(kind):
    with pytest.raises(lab.memory.OutOfMemory, match="^memory ran out.*: make units, batch_size or steps smaller"):
        with enough_memory(TINY):
            raise SHORTAGES[kind]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        OSError(28, "No space left on device"),
        tf.errors.InternalError(None, None, "something else"),
        InputError("damaged, or too large for the memory"),
    ],
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, enough_memory(TINY):
        raise error
    assert caught.value is error


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, where", [("graph", "train"), ("bare", "train"), ("xla", "evaluate"), ("graph", "__init__")]
)
def test_a_run_that_runs_out_of_memory_says_what_to_do(tmp_path, monkeypatch, kind, where):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "text")

    def fail(*_):
        raise SHORTAGES[kind]

    with monkeypatch.context() as patch:
        patch.setattr(lab.learner.Learner, where, fail)
        code, out, err = call(f"{RUN} --out new")
    last = err.splitlines()[-1]
    assert code == 2 and last.startswith("train.py: error: memory ran out") and "Graph execution" not in last
    assert "make units, batch_size or steps smaller" in last
    assert ("--resume --out new" in last) == ("the last checkpoint is whole" in last) == (where != "__init__")
    if where == "evaluate":
        assert call("lstm --resume --out new")[0] == 0
        monkeypatch.setattr(lab.learner.Learner, where, fail)
        code, _, err = call("evaluate new")
        assert code == 2 and "memory ran out" in err and "evaluation_batch_size" in err
