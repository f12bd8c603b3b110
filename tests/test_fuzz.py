"""Whatever one types, or finds in a file: a right result, or exit code 2 and the culprit's name."""

import contextlib
import functools
import json
import re
import shutil
import zipfile

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from lab.recipe import fields
from lab.run import load, save
from recipes import TARGETS
from tests.tiny import RUN, call, write_corpus

pytestmark = pytest.mark.slow

SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [hypothesis.Phase.generate],
    "suppress_health_check": list(hypothesis.HealthCheck),
}
FIELDS = sorted({name for sizes in TARGETS.values() for s in sizes.values() for name in fields(s.recipe)})
OPTIONS = ["size", "corpus", "data_dir", "out", "seed", "engine", "precision", "save_seconds"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with a corpus and a finished run."""
    place = tmp_path_factory.mktemp("fuzz")
    write_corpus(place / "text")
    with contextlib.chdir(place):
        assert call(f"{RUN} --out done")[0] == 0
        yield place
    keras.config.set_dtype_policy("float32")


def complaint(code, out, err) -> str:
    """Check that a command ended well, or with an error in words; those words."""
    assert code in (0, 2, 3), err
    assert "Traceback" not in err
    if code == 0:
        return ""
    if code == 3:
        assert re.search("the loss is|the norm of|perplexity|not finite", out + err)
    starts = "train.py: ", "train.py evaluate: ", "train.py generate: ", "stopped: "
    lines = (out + err).split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith(starts))
    return "\n".join(lines[first:])


# The command line.

VALUES = st.one_of(
    st.sampled_from(["-1", "0", "1", "3", "1000001", "9" * 5000, "0.5", "1.7", "1e39", "-1e-50"]),
    st.sampled_from(["nan", "-inf", "none", "true", "small", "text", "nowhere", "done", "/proc/x"]),
    st.sampled_from(["", " ", "-", "--", "--out", "=", "%s", "~nobody/x", "a" * 300, "\udcff", "é\n"]),
    st.text(st.characters(exclude_characters="\0"), max_size=5),
)
NAMES = st.one_of(
    st.sampled_from(FIELDS),
    st.sampled_from([*OPTIONS, "words", "temperature", "prompt", "help", "unit", "", "list"]),
    st.text(st.characters(exclude_characters="\0"), max_size=5),
)


@st.composite
def flags(draw):
    name, value = draw(NAMES), draw(VALUES)
    if name == "epochs" and value not in ("1", "3"):
        value = "-" + value  # else it would train for long, and rightly
    return draw(st.sampled_from([[f"--{name}", value], [f"--{name}={value}"], [value], [f"--{name}"]]))


@st.composite
def commands(draw):
    start = draw(
        st.sampled_from(
            [
                RUN.split(),
                RUN.replace("lstm", "rhn").replace("--layers 1", "--depth 2").split(),
                "numbers --epochs 1 --train_examples 2 --units 2".split(),
                ["lstm", "--resume", "--out", "done"],
                ["lstm", "--resume"],
                ["evaluate", "done"],
                ["generate", "done", "--words", "2"],
                ["evaluate"],
                ["hypernets"],
                ["lstm", "--size", "large"],
                [],
            ]
        )
    )
    changes = draw(st.lists(flags(), min_size=1, max_size=3))
    return start, [text for change in changes for text in change]


@hypothesis.given(commands())
@hypothesis.settings(max_examples=200, **SETTINGS)
def test_command_line(place, command):
    start, changes = command
    if "text" not in start and start[:1] not in (["evaluate"], ["generate"], ["numbers"]) and "done" not in start:
        changes = [*changes, "--corpus", "nowhere"]  # not Penn Treebank, which takes too long
    before = set(place.iterdir())
    said = complaint(*call([*start, *changes]))
    new = set(place.iterdir()) - before - {place / "runs"}
    if said:
        assert not new and not list(place.glob("runs/*"))
        given = [*changes, *" ".join(changes).replace("=", " ").split(" ")]
        names = [text.lstrip("-").replace("-", "_") for text in given]
        missing = {"": ["target"], "evaluate": ["RUN"], "lstm --resume": ["runs"]}
        missing = missing.get(" ".join(start), [])
        assert any(named(text, said) for text in [*missing, *given, *names]), said
    for path in [*new, place / "runs"]:
        shutil.rmtree(path, ignore_errors=True)


def named(text: str, said: str) -> bool:
    """Whether a message has a text, as it is or escaped, by itself; an empty one in quotes."""
    forms = (text, repr(text)[1:-1]) if text else (repr(text),)
    return any(re.search(rf"(?<!\w){re.escape(form)}(?!\w)", said) for form in forms)


# Files.


@st.composite
def damages(draw):
    """A function that damages the bytes of a file."""
    kind = draw(st.sampled_from(["flip", "cut", "replace", "insert", "nothing"]))
    where, bytes_ = draw(st.floats(0, 1)), draw(st.binary(min_size=1, max_size=9))

    def damage(content: bytes) -> bytes:
        at = int(where * max(len(content) - 1, 0))
        return {
            "flip": content[:at] + bytes([content[at] ^ (bytes_[0] or 1)]) + content[at + 1 :],
            "cut": content[:at],
            "replace": bytes_,
            "insert": content[:at] + bytes_ + content[at:],
            "nothing": b"",
        }[kind]

    return damage


SPLITS = "train", "valid", "test"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.just(10**400) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def put(draw, value):
    """A JSON value with one of its parts replaced, at any depth."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 3)):
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(list(keys)))
        changed = value.copy()
        changed[key] = put(draw, value[key])
        return changed
    return draw(JSON)


@functools.cache
def undamaged(line):
    """What a command says where nothing is damaged."""
    return call(line)


@pytest.mark.parametrize("line", ["lstm --resume --out done", "evaluate done", "generate done --words 3"])
@hypothesis.given(st.data())
@hypothesis.settings(max_examples=17, **SETTINGS)
def test_files(place, tmp_path_factory, line, data):
    folder = tmp_path_factory.mktemp("damaged")
    for name in ("done", "text"):
        shutil.copytree(place / name, folder / name)
    names = "recipe.json", "vocabulary.json", "checkpoint.npz", "best.npz", "model.keras"
    files = [f"done/{name}" for name in names]
    path = folder / data.draw(st.sampled_from([*files, *(f"text/{n}.txt" for n in SPLITS)]))
    if path.suffix in (".txt", ".keras") or data.draw(st.booleans()):
        path.write_bytes(data.draw(damages())(path.read_bytes()))
    elif path.suffix == ".json":
        path.write_text(json.dumps(put(data.draw, json.loads(path.read_text()))))
    else:
        tamper(data.draw, path)
    with contextlib.chdir(folder):
        expected = undamaged(line.replace("done", str(place / "done"))) if "resume" not in line else None
        result = call(line)
    said = complaint(*result)
    others = {
        "recipe.json": ["another run", "corpus"],
        **{f"{split}.txt": ["another corpus", f"the {split} text"] for split in SPLITS},
    }
    assert not said or any(name in said for name in [path.name, *others.get(path.name, [])]), said
    if not said:
        if line.startswith("lstm"):
            expected = json.loads((place / "done" / "result.json").read_text())
            found = json.loads((folder / "done" / "result.json").read_text())
            assert found["test_perplexity"] == expected["test_perplexity"]
        elif line.startswith("evaluate") and path.stem != "best":
            assert json.loads(result[1]) | {"run": ""} == json.loads(expected[1]) | {"run": ""}
        elif path.stem != "best":
            assert result[1] == expected[1]


@hypothesis.given(st.sampled_from(SPLITS), damages())
@hypothesis.settings(max_examples=9, **SETTINGS)
def test_corpora(place, tmp_path_factory, split, damage):
    """A new run on a damaged corpus is one on another text, or none, and leaves nothing behind."""
    folder = tmp_path_factory.mktemp("corpus")
    shutil.copytree(place / "text", folder / "text")
    path = folder / "text" / f"{split}.txt"
    path.write_bytes(damage(path.read_bytes()))
    with contextlib.chdir(folder):
        said = complaint(*call(f"{RUN} --out new"))
    left = sorted(each.name for each in folder.iterdir())
    assert left == (["text"] if said else ["new", "text"])
    assert not said or any(name in said for name in [path.name, f"the {split} text", "corpus text"])


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=30, **SETTINGS)
def test_models(place, tmp_path_factory, data):
    """A damaged model does not load, or does what it did."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    whole = (place / "done" / "model.keras").read_bytes()
    path.write_bytes(data.draw(damages())(whole))
    tokens = np.array([[0, 1, 2], [3, 4, 5]])
    expected = keras.saving.load_model(place / "done" / "model.keras")(tokens)
    try:
        model = keras.saving.load_model(path)
    except (ValueError, OSError, zipfile.BadZipFile):
        return
    np.testing.assert_array_equal(model(tokens), expected)


def tamper(draw, path):
    """Change a checkpoint and give it the right checksum."""
    arrays, facts = load(path)
    if draw(st.booleans()):
        facts = put(draw, facts)
    else:
        name = draw(st.sampled_from([*sorted(arrays), "new"]))
        shapes = st.sampled_from([(), (0,), (1,), (3, 3), (2, 1, 2)])
        types = st.sampled_from(["float32", "float64", "int8", "U3", "S2", "bool", "complex128"])
        arrays[name] = np.ones(draw(shapes), draw(types))
    with pytest.MonkeyPatch.context() as patch:  # JSON that `save` would not write
        dumps = json.dumps
        patch.setattr(json, "dumps", lambda value, allow_nan=True: dumps(value))
        save(path, arrays, facts)
