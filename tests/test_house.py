"""The house rules that sources and documentation have to keep."""

import ast
import doctest
import importlib.util
import inspect
import json
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import data
import tfcells
from benchmarks import abilities, league, rounds, trainings
from benchmarks.__main__ import NAMES
from lab.budget import fitted
from lab.engines import check_numpy
from lab.options import parse, settle
from recipes import TARGETS
from tests.cases import Case
from tests.tfcells.cells import test_cells
from tests.tiny import call, write_corpus

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "tfcells").rglob("*.py"))
LAB = [
    *sorted((ROOT / "lab").rglob("*.py")),
    *sorted((ROOT / "recipes").rglob("*.py")),
    ROOT / "train.py",
]
LEVELS = "tfcells", "data", "lab", "lab.tasks", "recipes", "train"  # each imports those before it
DATA = sorted((ROOT / "data").rglob("*.py"))
PACKAGES = tfcells, data
MODULES = [package.__name__ for package in PACKAGES] + [
    module.name for package in PACKAGES for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


def imported(path):
    """The full names of all that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.relative_to(ROOT).parts
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = [part for part in (*base, node.module) if part]
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


def roots(path):
    return {name.split(".")[0] for name in imported(path)}


def attributes(path):
    """Every dotted name that a file reads, such as keras.src.utils."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name):
            found.add(".".join([node.id, *reversed(parts)]))
    return found


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_read():
    assert len(LIBRARY) > 10 and DATA and LAB
    assert "tensorflow" in roots(ROOT / "tfcells" / "engine" / "program.py")
    assert "keras.ops" in imported(ROOT / "tfcells" / "layers" / "rnn.py")


PRIVATE = "keras.src", "tensorflow.python", "tensorflow.compiler", "keras._", "tf.python"
UNAVOIDABLE = {
    # The gradient of an operation on tapes inside a graph; tf.custom_gradient would keep the caller's graph for good.
    "tfcells/engine/differentiated.py": {
        "tensorflow.python.eager.record",
        # Whether a debugging tool adds to every operation what XLA can't run.
        "tensorflow.python.framework.op_callbacks",
    },
    # XLA's optimization barrier, without which it undoes what the engine arranges.
    "tfcells/engine/products.py": {"tensorflow.compiler.tf2xla.python.xla"},
}


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_imports_nothing_of_the_lab(path):
    allowed = {"keras", "numpy", "tfcells", "tensorflow", *sys.stdlib_module_names}
    assert roots(path) <= allowed
    private = {name for name in imported(path) | attributes(path) if name.startswith(PRIVATE)}
    assert private == UNAVOIDABLE.get(name_of(path), set())


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_only_the_engine_knows_tensorflow(path):
    if not name_of(path).startswith("tfcells/engine/"):
        assert "tensorflow" not in roots(path)
    cells_layer = "tfcells/cells/"
    if name_of(path).startswith(cells_layer):  # cells know of no layer, wrapper or mask
        upwards = ("tfcells.layers", "tfcells.engine", "tfcells.wrappers", "tfcells.masks")
        assert not [name for name in imported(path) if name.startswith(upwards)]


@pytest.mark.parametrize("path", sorted((ROOT / "tfcells" / "from_scratch").glob("*.py")), ids=name_of)
def test_the_networks_in_numpy_need_numpy_alone(path):
    assert roots(path) <= {"numpy", "tfcells", *sys.stdlib_module_names}
    mine = [name for name in imported(path) if name.split(".")[0] == "tfcells"]
    assert all(name.startswith(("tfcells.from_scratch.", "tfcells.checks")) for name in mine)
    assert roots(ROOT / "tfcells" / "checks.py") <= set(sys.stdlib_module_names)


def test_the_engine_is_imported_for_tensorflow_alone():
    """Layers with a fast path import it below an `if` on the backend, nothing else outside it does."""
    layers = "tfcells/layers/rnn.py", "tfcells/layers/dense.py"
    for path in LIBRARY:
        if name_of(path).startswith("tfcells/engine/"):
            continue
        guarded = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and "backend" in ast.unparse(node.test):
                guarded |= {id(inner) for inner in ast.walk(node)}
            if isinstance(node, ast.Import | ast.ImportFrom) and "engine" in ast.unparse(node):
                assert name_of(path) in layers and id(node) in guarded


OTHER_BACKEND = """
import sys
import keras
import numpy as np
before = "tensorflow" in sys.modules
import tfcells
assert keras.backend.backend() == "jax"
assert before or "tensorflow" not in sys.modules
x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
cell = tfcells.VariationalDropout(tfcells.LSTMCell(4), input_rate=0.5, state_rate=0.5)
mine = tfcells.RNN([cell, tfcells.RHNCell(3, depth=2)], return_sequences=True)
theirs = keras.layers.RNN(mine.cell, return_sequences=True)
np.testing.assert_allclose(mine(x), theirs(x), atol=1e-5)
mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 0, 0]], bool)
np.testing.assert_allclose(mine(x, mask=mask), theirs(x, mask=mask), atol=1e-5)
assert np.abs(mine(x, training=True) - mine(x)).max() > 1e-3
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
def test_another_backend_needs_no_tensorflow():
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", OTHER_BACKEND], env=environment, check=True)


POSIX = {"fcntl", "grp", "posix", "pwd", "resource", "syslog", "termios"}


@pytest.mark.parametrize("path", [*LIBRARY, *LAB, *DATA], ids=name_of)
def test_no_module_of_linux_is_imported(path):
    assert not roots(path) & POSIX


WINDOWS = """
import os, signal, sys, types
import filelock, psutil  # which know how to do without
for module, names in ((signal, "SIGALRM SIGHUP SIGPIPE alarm"), (os, "sched_getaffinity sysconf")):
    for name in names.split():
        delattr(module, name)
def open_files(path, flags, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, flags, *arguments, **options)
import tensorflow as tf
make = tf.function
def uncompiled(*arguments, jit_compile=None, **options):
    def fail(*_, **__):
        raise NotImplementedError("TensorFlow for Windows has no XLA")
    if jit_compile and arguments:
        arguments = (fail,)
    return make(*arguments, **options)
tf.test.is_built_with_xla, tf.function = lambda: False, uncompiled
import lab.run, train
lab.run.WINDOWS, lab.run.os = True, types.SimpleNamespace(**vars(os) | {"open": open_files})
sys.exit(max(train.main(line.split()) for line in sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_needs_nothing_that_windows_lacks(tmp_path):
    """As far as it can be tried on Linux: without signals, system calls and XLA, and no folder can be opened."""
    write_corpus(tmp_path / "text")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    lines = f"lstm {TINY} --engine graph --out new", "lstm --resume --out new", "evaluate new"
    command = [sys.executable, "-c", WINDOWS, *lines]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DATA, ids=name_of)
def test_data_knows_no_model(path):
    assert not roots(path) & {"tfcells", "lab", "recipes", "keras", "train"}


@pytest.mark.parametrize("path", LAB, ids=name_of)
def test_the_lab_uses_the_public_library(path):
    public = {f"tfcells.{name}" for name in tfcells.__all__} | {"tfcells", "tfcells.from_scratch"}
    used = {".".join(name.split(".")[:2]) for name in attributes(path)} | imported(path)
    assert {name for name in used if name.split(".")[0] == "tfcells"} <= public


@pytest.mark.parametrize("path", LAB, ids=name_of)
def test_imports_point_one_way(path):
    own = level(name_of(path).removesuffix(".py").replace("/", "."))
    assert all(level(name) <= own for name in imported(path))


def level(name):
    """Where a module stands among the levels; -1 for a stranger's."""
    return max((n for n, each in enumerate(LEVELS) if f"{name}.".startswith(f"{each}.")), default=-1)


@pytest.mark.parametrize("path", [p for p in LAB if "lab" in p.parts[:-1]], ids=name_of)
def test_the_lab_is_annotated(path):
    """Every function, its arguments and what it returns; mypy checks the rest."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            bare = [a.arg for a in every if not a.annotation and a.arg not in ("self", "cls")]
            assert not bare and (node.returns or node.name == "__init__"), node.name


@pytest.mark.parametrize("path", sorted((ROOT / "tfcells" / "cells").glob("*.py")), ids=name_of)
def test_no_cell_file_mentions_dropout(path):
    """Prose may name the slot that recurrent dropout fills; the code has no rate and no mask."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {getattr(node, field, None) for node in ast.walk(tree) for field in ("id", "attr", "arg", "name")}
    names = {name for name in names if isinstance(name, str)}
    assert not [name for name in names if re.search("dropout|zoneout|(^|_)rate$|mask", name)]


def public():
    return [(name, getattr(tfcells, name)) for name in tfcells.__all__ if name != "__version__"]


def test_names_come_from_the_top():
    cells = ["ElmanCell", "GRUCell", "HyperLSTMCell", "LSTMCell", "LayerNormLSTMCell", "RHNCell"]
    for name in [*cells, "RNN", "VariationalDropout", "WordDropout", "Cell", "Kernel", "Weights"]:
        assert name in tfcells.__all__ and hasattr(tfcells, name)
    assert len(set(tfcells.__all__)) == len(tfcells.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", tfcells.__version__)


def test_everything_public_is_documented():
    """Keras's own methods (build, call, get_config, ...) need no words."""
    modules = [name for name in MODULES if not name.endswith(".version")]
    missing = [name for name in modules if not importlib.import_module(name).__doc__]
    for name, value in public():
        if inspect.isclass(value):
            own = [k for k, v in vars(value).items() if inspect.isfunction(v) and k[0] != "_"]
            own = [k for k in own if not hasattr(keras.layers.RNN, k)]
            missing += [f"{name}.{k}" for k in own if not inspect.getdoc(getattr(value, k))]
            missing += [] if vars(value).get("__doc__") else [name]
    assert not missing


def test_cells_cite_and_show():
    for name, cell in tfcells.CELLS.items():
        assert "Source:" in cell.__doc__ or "et al." in cell.__doc__, name
        assert ">>> " in cell.__doc__, name


class Checker(doctest.OutputChecker):
    """Takes TensorFlow's TensorShape([2, 8]) for (2, 8), as the other backends print it."""

    def check_output(self, want, got, optionflags):
        got = re.sub(r"TensorShape\(\[(.*?)\]\)", r"(\1)", got)
        return super().check_output(want, got, optionflags)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_doctests(name, monkeypatch):
    """Of cells and wrappers as where there is no XLA: what they show is not compilation."""
    if name.startswith(("tfcells.cells.", "tfcells.wrappers.")):
        monkeypatch.setattr("tfcells.engine.has_compiler", lambda: False)
    names = {"keras": keras, "tfcells": tfcells, "np": np}
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(importlib.import_module(name), extraglobs=names):
        assert runner.run(test).failed == 0, test.name


def test_there_are_doctests():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name)) if t.examples]
    assert len(found) >= len(tfcells.CELLS) + 3


def test_every_class_has_a_row_in_the_table():
    """Every public cell and wrapper of tfcells/cells and tfcells/wrappers, but those that nobody makes."""
    bases = {"Noise", "ChannelwiseCell", "MemoryReader", "ParaCell", "TimedCell"}
    modules = [name for name in MODULES if name.startswith(("tfcells.cells.", "tfcells.wrappers."))]
    found = {
        name
        for module in modules
        for name, value in vars(importlib.import_module(module)).items()
        if inspect.isclass(value) and issubclass(value, tfcells.Cell) and value.__module__ == module and name[0] != "_"
    }
    missing = found - bases - {row["name"] for row in tfcells.cells.table()}
    assert len(found) > 10 and not missing, f"give {sorted(missing)} a Row in tfcells/cells/rows.py"


def test_readme_names_every_target_and_a_class_of_every_family():
    text, families = (ROOT / "README.md").read_text(encoding="utf-8"), {}
    for row in tfcells.cells.table():
        families.setdefault(row["family"], []).append(row["name"])
    missing = [name for name in TARGETS if f"train.py {name}" not in text and f"`{name}`" not in text]
    missing += [family for family, names in families.items() if not any(f"`{name}`" in text for name in names)]
    assert not missing, f"README.md must name every target, and a class of every family: {missing}"


def test_a_step_keeps_to_the_dtypes_it_is_given():
    """Else half precision would have to be tried for every cell in the engine, too."""
    own = {"compute_dtype", "variable_dtype", "dtype_policy"}
    for path in sorted((ROOT / "tfcells" / "cells").glob("*.py")):
        assert "self.dtype" not in path.read_text(encoding="utf-8")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name != "bind":
                read = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)} & own
                assert not read, f"{path.name}: {function.name} reads {read}"


def test_the_readme_is_short():
    lines = page("README.md").splitlines()
    assert len(lines) <= 150
    assert not [line for line in lines if len(line) > 120 and line[0] != "|"]
    assert len(tfcells.CELLS) > 60 and "\nOver sixty recurrent cells" in page("README.md")


TINY = (
    "--corpus text --units 3 --batch_size 2 --steps 4 --epochs 1 --steps_per_epoch 2 --engine eager "
    "--evaluation_batch_size 2 --evaluation_steps 8"
)


@pytest.mark.slow
def test_commands_of_the_pages_run(tmp_path, monkeypatch):
    """Those that use a run do so; the others, as they are given, have a network, but for `rhn`, which makes it."""
    text = "\n".join(map(page, ("README.md", "docs/train.md", "docs/recipes.md")))
    found = re.findall(r"python train\.py ((?!TARGET)[\w .-]+)", text)
    lines = list(dict.fromkeys(line.strip() for line in found))
    assert len(lines) > 5 and "rhn" in lines and "--list" in lines
    write_corpus(tmp_path / "text")
    monkeypatch.chdir(tmp_path)
    trained = [line for line in lines if not re.search("RUN|--help|--list|generate demo", line)]
    for line in [f"rhn {TINY}", *(line.replace("RUN", "runs/rhn-small-1") for line in lines if line not in trained)]:
        code, _, err = call(line)
        assert code == 0, (line, err)
    for line in trained:
        options, overrides = parse(line.split(), TARGETS)
        if options.command == "train":
            recipe, settings, _ = settle(options, overrides, TARGETS)
            if settings["engine"] == "numpy":
                check_numpy(recipe, settings["precision"])
            data = recipe.recall(None)
            recipe = fitted(recipe, data, options.budget) if options.budget else recipe
            assert recipe.outline(data).weights
    for name in re.findall(r"python -m benchmarks (\w+)", text):
        assert name in NAMES


def test_results_are_those_of_the_runs():
    """The tables of both pages and the list of targets say what result.json of each run says."""
    rows = rows_under("Results on the Penn Treebank", "docs/recipes.md")
    short = rows_under("Results on the Penn Treebank", "README.md")
    results = json.loads((ROOT / "benchmarks" / "results" / "penn_treebank.json").read_text())
    for command, result in results.items():
        recipe = TARGETS[result["target"]][result["size"]]
        valid, test = (f"{result[f'{split}_perplexity']:.1f}" for split in ("valid", "test"))
        cells = rows[f"`{command}`"]
        parameters, minutes = f"{result['parameters']:,}", f"{result['seconds'] / 60:.0f}"
        assert cells[:-1] == [parameters, str(result["epochs"]), valid, f"**{test}**", minutes]
        assert f"of version {result['versions']['tfcells']}" in page("docs/recipes.md")
        if cells := short.pop(f"`{command}`", None):
            published = recipe.published.split(" / ")[1] if recipe.published else ""
            assert cells == [parameters, valid, f"**{test}**", published]
        if result["metrics"]["engine"] == "graph":  # the list has the default engine's
            assert recipe.own == f"{valid} / {test}"
        assert recipe.recipe.epochs == result["epochs"]
        assert recipe.parameters == recipe.recipe.parameters() == result["parameters"]
        assert (result["corpus"], result["seed"]) == ("ptb", 1)
    assert list(short) == ["command"]  # the head


def test_evaluations_are_those_of_the_report():
    rows, found = rows_under("With the same weights", "docs/recipes.md"), reported("evaluation")
    run = found["run"]
    told = {run["command"]: run | {"minutes": None}} | found["evaluations"]
    for command, each in told.items():
        valid, test, minutes = rows.pop(f"`{command}`")
        scores = [f"{each[f'{split}_perplexity']:.1f}" for split in ("valid", "test")]
        assert [valid, test.strip("*"), minutes] == [*scores, str(each["minutes"] or "")]
    assert list(rows) == ["command"]  # the head


@pytest.mark.parametrize(
    "name, heading",
    [
        ("layer_norm", "With and without layer normalization"),
        ("regularizers", "With and without regularizers"),
        ("screening", "After three epochs"),
    ],
)
def test_trainings_side_by_side_are_those_of_the_report(name, heading):
    """A table of docs/recipes.md has every run of the benchmark, and its perplexities."""
    rows = rows_under(heading, "docs/recipes.md")
    report = reported(name)
    assert sorted(run["line"] for run in report["runs"]) == sorted(trainings.RUNS[name].values())
    for run in report["runs"]:
        row = rows.get(run["name"]) or rows[f"`python train.py {run['line']}`"]
        assert tuple(cell.strip("*") for cell in row[-3:]) == trainings.scores_of(run)
    assert len(rows) == len(report["runs"]) + 1
    if name == "regularizers":
        last = rows["variational, word, recurrent dropout 0.1"][-1].strip("*")
        assert f"from {rows['none'][-1]} to {last}" in page("README.md")


def test_the_best_are_those_of_the_report():
    rows, runs = rows_under("The best within an hour", "docs/recipes.md"), reported("best")["runs"]
    for run in runs:
        assert rows.pop(run["name"]) == [*trainings.scores_of(run), *trainings.evaluated(run)]
    *scores, last = rows.pop("mean of the seeds")
    assert (*scores, last.strip("*")) == trainings.means(runs)
    assert list(rows) == ["run"]  # the head
    assert trainings.EVALUATED["best"] in page("docs/recipes.md")
    _, _, static, _, evaluated = trainings.means(runs)
    assert f"`best` has {static} as the mean of three, and {evaluated} by `evaluate`'s methods" in page("README.md")


@pytest.mark.parametrize("contest", [league, abilities], ids=["league", "abilities"])
def test_the_page_on_choosing_a_cell_is_that_of_the_reports(contest):
    name = contest.__name__.rpartition(".")[2]
    text = page("docs/choose.md")
    (told,) = re.findall(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end of {name} -->", text, re.DOTALL)
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    assert told == ("\n".join(contest.page(json.loads(path.read_text()))) if path.exists() else "Not measured yet.")
    for command in re.findall(r"python -m benchmarks (\w+)", text):
        assert command in NAMES


def test_speed_on_the_pages_is_that_of_the_reports():
    readme, compiling, benchmarks = page("README.md"), page("docs/compile.md"), page("docs/benchmarks.md")
    layers = median_ratios("layers", "Keras", "tfcells")
    assert f"is {min(layers):.1f} to {max(layers):.0f} times as fast as Keras's" in readme
    lead = [1 / ratio for ratio in median_ratios("layers", "PyTorch", "tfcells", only="LSTM")]
    faster = f"{sum(ratio > 1 for ratio in lead)} of {len(lead)} sizes, up to {max(lead):.1f} times as fast"
    assert f"PyTorch's LSTM alone is faster than ours in {faster}" in readme.replace("\n", " ")
    for peer, name in (("Keras fit", "Keras's `fit`"), ("PyTorch", "PyTorch")):
        models = median_ratios("language_model", "train.py", peer, "words_per_second")
        assert f"{min(models):.1f} to {max(models):.1f} times as fast as in {name}" in readme.replace("\n", " ")
    gpu = median_ratios("cells_gpu", "keras.RNN", "tfcells", only="graphs off")
    assert f"{min(gpu):.1f} to {max(gpu):.0f} times as fast as without XLA" in benchmarks
    xla = median_ratios("cells_gpu", "keras.RNN, XLA", "tfcells", only="graphs off")
    assert f"{min(xla):.2f} to {max(xla):.1f} times as fast as in `keras.layers.RNN` under XLA" in benchmarks
    for row, name, contender in (
        ("`tfcells.RNN`", "LSTMCell, graphs off", "tfcells"),
        ("`tfcells.RNN`, as a CUDA graph", "LSTMCell, graphs on, small ones too", "tfcells"),
        ("`keras.layers.LSTM`, by cuDNN", "LSTMCell, graphs off", "Keras's layer"),
    ):
        seconds = reported("cells_gpu")[f"float32, 650 units: {name}"]["seconds"][contender]
        assert rows_under("On a GPU", "docs/benchmarks.md")[row] == [f"{1e3 * rounds.median(seconds):.1f}"]
    first, rows = reported("first_call")["seconds"], rows_under("What the first call costs", "docs/compile.md")
    assert {name: [f"{rounds.median(seconds):.2f}"] for name, seconds in first.items()}.items() <= rows.items()
    steps = reported("scaling")["steps"]["1000"]
    time = rounds.median(rounds.ratios(steps["seconds"], "tfcells, remat", "tfcells")) - 1
    memory = steps["bytes"]["tfcells, remat"] / steps["bytes"]["tfcells"]
    assert f"{100 * memory:.0f} % of the memory and {100 * time:.0f} % more time" in compiling


def test_engines_are_those_of_the_report():
    rows, report = rows_under("Engines", "docs/recipes.md"), reported("engines")
    for engine, speed in report["words_per_second"].items():
        (row,) = [cells for first, cells in rows.items() if f"--engine {engine}`" in first]
        assert row == [f"{speed:,.0f}", f"{np.mean(report['losses']['float32'][engine]):.4f}"]


def median_ratios(report, over, under, kind="seconds", only=""):
    """For each measurement of a report, how many times the one contender's figure is the other's, the median."""
    measured = [value[kind] for name, value in reported(report).items() if name != "machine" and only in name]
    return [rounds.median(rounds.ratios(each, over, under)) for each in measured if over in each]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def reported(name: str):
    """What a benchmark's report holds."""
    return json.loads(page(f"benchmarks/results/{name}.json"))


def rows_under(heading: str, name: str) -> dict[str, list[str]]:
    """The cells of a page's tables under a heading, by the first of each row."""
    text = page(name)
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?:^#|\Z)", text, re.DOTALL | re.MULTILINE)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|") and not line.startswith("|--")
    ]
    return {first: rest for first, *rest in rows}


def run_blocks(page, names):
    """The page's blocks of Python, one after the other, as a reader would type them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # noqa: S102


@pytest.mark.slow
def test_the_readme_runs(tmp_path, monkeypatch):
    """And prints the losses that stand there, but for rounding."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    run_blocks("README.md", names)
    (losses,) = re.findall(r"# \{'loss': \[(.*)\]\}", page("README.md"))
    rtol = 0.05 if keras.version() < "3.16" else 0.3  # which draws other numbers
    np.testing.assert_allclose(names["history"]["loss"], [float(loss) for loss in losses.split(", ")], rtol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/states.md", "docs/decoding.md"])
def test_pages_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(page, {})


@pytest.mark.slow
def test_the_page_of_weights_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks("docs/weights.md", {})


@pytest.mark.slow
@pytest.mark.export
@pytest.mark.parametrize("page", ["docs/export.md", "docs/serving.md"])
def test_pages_of_other_runtimes_run(page, tmp_path, monkeypatch):
    for name in ("onnxruntime", "tf2onnx", "ai_edge_litert"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    run_blocks(page, {})


IMPORTS = """
from typing import Any
from keras import ops
from tests.cases.maths import *
from tests.cases.row import *
from tfcells.checks import *
from tfcells.contract import *
from tfcells.contract.linear import *
"""


def test_the_cell_and_the_wrapper_of_contributing():
    """They equal the oracles beside them, in rows as the page has them."""
    names = {}
    exec(IMPORTS, names)  # noqa: S102
    run_blocks("CONTRIBUTING.md", names)
    names["tfcells"] = types.SimpleNamespace(**names)
    (row,), (around,) = names["rows"](), names["wrappers"]()
    for case in Case(*row), around.around(Case(*row)):
        test_cells.equals_the_oracle(case, test_cells.WAYS["loop"][0])
        test_cells.check_masks(case, test_cells.LOOP)
