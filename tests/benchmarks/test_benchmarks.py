"""Every benchmark at its smallest: peers agree, and the report is written."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import (
    charts,
    engines,
    half,
    limits,
    peers,
    processes,
    profile,
    programs,
    report,
    rounds,
    scaling,
    serving,
    sides,
    trainings,
    workers,
)
from lab import style
from lab.run import load
from tests import tiny
from tfcells.engine.compiler import FAULTY

pytestmark = pytest.mark.slow

QUICK = "--rounds 2 --seconds 0.001 --units 10"
LINES = [
    ["caffe_table", "--only", "4"],
    ["language_model", "--only", "medium", "--words", "30", "--steps", "2"],
    ["cells", "--only", "LayerNormLSTMCell", "--setting", "1 step"],
    ["generate", "--only", "small", "--words", "30"],
    ["scaling", "--only", "steps", "--batch", "2", "--points", "3"],
    ["scaling", "--only", "lengths", "--batch", "2", "--points", "5"],
    ["scaling", "--only", "first_call", "--batch", "2", "--points", "2", "3"],
    ["scaling", "--only", "masked", "--batch", "2", "--steps", "3"],
    ["scan", "--batch", "2", "--steps", "3"],
    ["batch_sizes", "--largest", "3"],
    ["scaling", "--only", "modes", "--points", "3"],
    ["layers", "--rows", "2", "3", "--steps", "3"],
    ["serving", "--steps", "3"],
]
ONCE = {"first_call", "lengths", "batch_sizes"}  # which have no rounds


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_benchmark_writes_its_report(line, tmp_path, monkeypatch, capsys):
    """Of two modes as processes, of the others in this one."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(serving, "QUANTIZED", ("LSTMCell", "RHNCell"))
    monkeypatch.setattr(scaling, "in_a_fresh_process", lambda function, *arguments: function(*arguments))
    if "modes" in line:
        monkeypatch.setattr(programs, "in_a_fresh_process", two_in_fresh_processes)
    name = line[0] + (f"_{line[2]}" if line[0] == "scaling" else "") + "-partial"
    quick = [] if "modes" in line else ["--units", "10"] if ONCE & set(line) else QUICK.split()
    code = benchmarks.main(line + quick)
    text = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
    assert code == int(rounds.BROKEN in text)
    assert text in capsys.readouterr().out
    if line[0] not in ("scan", "batch_sizes", "serving"):
        assert peers.torch or peers.MISSING in text
    if line[0] not in ("scan", "batch_sizes", "layers", "serving"):
        assert "of the limit" in text
    assert "masked" in line or (tmp_path / f"{name}.png").stat().st_size > 1000
    result = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert result["machine"]["cores"] > 0
    if line[0] not in ("generate", "serving"):
        assert "| never below |" in text
    if not {"lengths", "first_call", "modes", "batch_sizes"} & set(line):
        assert '"differences"' in json.dumps(result)


@pytest.mark.parametrize(
    "line",
    [
        "batch_sizes --rounds 3",
        "batch_sizes --seconds 1",
        "scaling --only modes --units 10",
        "scaling --only lengths --rounds 3",
        "scaling --only masked --points 3",
        "scaling --only units --units 10",
    ],
)
def test_an_option_without_effect_is_refused(line, capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmarks.main(line.split())
    assert line.split()[-2] in capsys.readouterr().err


def two_in_fresh_processes(function, name, steps):
    if name in (programs.KERAS, "compiled"):
        return processes.in_a_fresh_process(function, name, steps)
    return function(name, steps)


def test_the_outputs_of_every_cell_get_a_gradient_of_their_width():
    for name, make in sides.CELLS.items():
        layer = sides.tfcells_layer([make(200)], 3, jit_compile=False)
        outputs = layer(np.zeros((2, 1, 3), "float32"))
        assert sides.for_outputs(layer, 2, 1).shape == tuple(outputs.shape), name


def test_memory_of_a_mode_that_is_not_linear_in_steps_misses_its_aim(monkeypatch):
    monkeypatch.setattr(
        programs, "in_a_fresh_process", lambda _, name, n: {"seconds": 1, "bytes": n * n if name == "remat" else 7 * n}
    )
    _, goals = programs.modes({}, types.SimpleNamespace(points=[2, 4, 8]))
    missed = [what for what, *_, verdict in goals if verdict == "missed"]
    assert missed == ["memory linear in steps, remat: bytes a step from 4 to 8 / from 2 to 4"]
    assert len(goals) == 4 * len(programs.MODES)


def test_layers_that_take_too_long_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    with pytest.raises(SystemExit):
        benchmarks.main(["layers", "--units", "8", "--budget", "0"])
    assert "--budget must be" in capsys.readouterr().err
    benchmarks.main(
        ["layers", "--units", "4", "100000", "--rows", "2", "--steps", "3", "--cells", "GRU", *QUICK.split()[:4]]
    )
    text = (tmp_path / "layers-partial.md").read_text()
    assert "1 of 2 points" in text and "| GRU | 3 | 4 | 2 |" in text


def test_the_first_call(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert benchmarks.main(["first_call", "--rounds", "1", "--only", "LSTM"]) == 0
    found = json.loads((tmp_path / "first_call-partial.json").read_text())
    assert all(0 < seconds < 60 for times in found["seconds"].values() for seconds in times)
    # Forward, backward, and with FAULTY one for XLA to read its flags; traced to find the products, and for each.
    assert found["programs and traces"]["LSTM"] == [2 + FAULTY, 3]
    assert found["programs and traces"]["keras.layers.LSTM"][0] == 0
    assert (tmp_path / "first_call-partial.md").read_text() in capsys.readouterr().out


def test_no_process_outlives_the_one_that_started_it(tmp_path):
    """That is killed; the other one, which would read on, ends."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    program = f"""if True:
        import multiprocessing, pathlib
        from benchmarks import processes
        processes.forkserver = lambda: multiprocessing.get_context("forkserver")  # with nothing imported
        processes.in_a_fresh_process(pathlib.{path!r}.read_text)
    """
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=processes.ROOT, stderr=subprocess.DEVNULL)
    with path.open("wb", buffering=0) as pipe:  # once someone reads
        pipe.write(b"still there")
        parent.kill()
        parent.wait()
        with pytest.raises(BrokenPipeError):
            for _ in range(tiny.PATIENCE):
                time.sleep(1)
                pipe.write(b"still there")


def test_few_programs_for_many_lengths():
    """XLA compiles one each way for the lengths up to a power of two, not one for each length."""
    size = {"units": 4, "batch": 2, "steps": 20}
    found = processes.in_a_fresh_process(programs.fifty_lengths, size)
    assert len(set(found["lengths"])) > 12
    assert (found["forward"], found["backward"], found["more"]) == (6, 6, 0)


def test_a_profile_counts_each_moment_once():
    """Event 1 holds 2 and 3, 3 holds 4; 5 begins where 1 ends."""
    times = [(3, 60, 30), (1, 0, 100), (5, 100, 10), (2, 10, 20), (4, 70, 5)]
    events = [types.SimpleNamespace(metadata_id=n, offset_ps=a, duration_ps=d) for n, a, d in times]
    assert dict(profile.own_times(events)) == {1: 50, 2: 20, 3: 25, 4: 5, 5: 10}
    kinds = {"MatMul": "recurrent", "a/MatMul:_MklMatMul": "large", "anything": "all else"}
    assert all(profile.kind_of(name).startswith(kind) for name, kind in kinds.items())
    assert profile.kind_of("BlockUntilReady") is None


def test_engines_agree(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    for name, value in {"ENGINES": ("numpy", "graph"), "EXACT": 5, "CLOSE": 4, "MANY": 25}.items():
        monkeypatch.setattr(engines, name, value)
    tiny.write_corpus(tmp_path / "text")
    line = f"lstm --corpus {tmp_path / 'text'} --units 4 --batch_size 2 --steps 2"
    assert benchmarks.main(["engines", "--line", line]) == 0
    result = json.loads((tmp_path / "engines.json").read_text())
    assert {*result["words_per_second"]} == {"numpy", "graph"}
    assert all(len(losses) == 25 for losses in result["losses"]["float32"].values())
    monkeypatch.setattr(engines, "LIMITS", {"exact": 1e-8, "close": 0.0, "mean": 0.005})
    assert benchmarks.main(["engines", "--line", line]) == 1


def test_half_precision_is_measured(tmp_path, monkeypatch, request):
    request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(half, "STEPS", 25)
    tiny.write_corpus(tmp_path / "text")
    line = f"lstm --corpus {tmp_path / 'text'} --units 4 --batch_size 2 --steps 2"
    assert benchmarks.main(["half", "--line", line]) == 0
    losses = json.loads((tmp_path / "half.json").read_text())["losses"]
    single, rounded = losses["float32"], losses["mixed_bfloat16"]
    assert len(single) == len(rounded) == 25 and single != rounded
    monkeypatch.setattr(half, "LIMIT", 0.0)
    assert benchmarks.main(["half", "--line", line]) == 1


def test_workers_side_by_side(tmp_path, monkeypatch):
    """tests/test_workers.py has the processes."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    found = [{"losses": [2.0, 1.0], "words_per_second": 100.0}], [{"losses": [2.0, 1.5], "words_per_second": 150.0}]
    monkeypatch.setattr(workers, "steps", lambda count, arguments, precision, number: found[count - 1])
    tiny.write_corpus(tmp_path / "text")
    line = f"lstm --corpus {tmp_path / 'text'} --units 4 --batch_size 2 --steps 2"
    assert benchmarks.main(["workers", "--line", line]) == 1
    assert "| 2 | 150 | 1.50 |" in (tmp_path / "workers.md").read_text(encoding="utf-8")
    monkeypatch.setattr(workers, "LIMIT", 0.5)
    assert benchmarks.main(["workers", "--line", line]) == 0


def test_a_wrong_gradient_is_refused():
    right = [np.ones(3), np.arange(4.0)]
    nearly = rounds.compare({"a": right, "b": [1.00001 * array for array in right]})
    assert nearly == {"b": pytest.approx(1e-5)}
    with pytest.raises(ValueError, match="b differs from a"):
        rounds.compare({"a": right, "b": [right[0], right[1][::-1]]})
    with pytest.raises(ValueError, match="b, array 0"):
        rounds.compare({"a": right, "b": [right[0][:2], right[1]]})


def test_contenders_take_turns():
    order = []
    contenders = {name: (lambda name=name: order.append(name)) for name in "abc"}
    options = rounds.parser("none", "").parse_args(["--rounds", "3", "--seconds", "0"])
    times = rounds.alternate(contenders, options)
    assert "".join(order[6:]) == "cababcbcacab"
    assert all(len(values) == 3 for values in times.values())


def test_goals_say_what_they_found():
    verdicts = {rounds.goal("speed", [value], 1.2, 1.0)[-1]: value for value in (1.3, 1.1, 0.9)}
    assert verdicts == {"reached": 1.3, "held": 1.1, rounds.BROKEN: 0.9}
    assert rounds.goal("memory", [1.2], 1.25, at_most=True)[-1] == "reached"
    assert rounds.goal("memory", [1.3], 1.25, at_most=True)[-1] == "missed"
    assert rounds.goal("speed", "no peer", 1.2)[-2:] == ("no peer", "not measured")


def test_the_products_of_a_cell():
    import tfcells

    cell = tfcells.LSTMCell(5)
    cell.build((None, 3))
    found = limits.products_of(cell, batch=2, steps=7, features=3)
    forward = [(14, 3, 20, 1, ""), (2, 5, 20, 7, "")]
    backward = [(14, 20, 3, 1, "b"), (3, 14, 20, 1, "a"), (2, 20, 5, 7, ""), (5, 14, 20, 1, "a")]
    assert [product[:5] for product in found] == forward + backward
    assert limits.products_of(cell, 2, 7, 3, backward=False) == found[:2]


def test_trainings_side_by_side(tmp_path, monkeypatch, capsys):
    """What is finished is reported, what is not is said; nothing is trained twice, not even if
    only the report is left, unless its recipe was another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    tiny.write_corpus(tmp_path / "text")
    lines = {"one": tiny.RUN, "two": f"{tiny.RUN} --units 4", "bad": f"{tiny.RUN} --units 0"}
    monkeypatch.setitem(trainings.RUNS, "layer_norm", lines)
    trained = []

    def train(line, data_dir):
        trained.append(line)
        return tiny.call(f"{line} --out {trainings.folder_of(line)}")

    monkeypatch.setattr(trainings, "train", train)
    for _ in range(2):
        assert benchmarks.main(["layer_norm"]) == 1
        assert "not finished: bad" in capsys.readouterr().err
        shutil.rmtree("runs", ignore_errors=True)
    assert trained == [lines["one"], lines["two"], lines["bad"], lines["bad"]]
    text = (tmp_path / "results" / "layer_norm.md").read_text()
    assert "| one |" in text and "| two |" in text and "| bad |" not in text and "- Not trained yet: bad." in text
    assert (tmp_path / "results" / "layer_norm.png").stat().st_size > 1000
    path = tmp_path / "results" / "layer_norm.json"
    path.write_text(path.read_text().replace('"units": 4', '"units": 5'))
    benchmarks.main(["layer_norm"])
    assert trained[4:] == [lines["two"], lines["bad"]]


def test_trainings_by_seed(tmp_path, monkeypatch):
    """Runs that differ in the seed alone have a mean, and are read again by the methods of the report, once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    tiny.write_corpus(tmp_path / "text")
    monkeypatch.setitem(trainings.RUNS, "best", {f"seed {n}": f"{tiny.RUN} --seed {n}" for n in (1, 2)})
    monkeypatch.setitem(trainings.EVALUATED, "best", "--cache --cache_share 0.5")
    monkeypatch.setattr(trainings, "train", lambda line, _: tiny.call(f"{line} --out {trainings.folder_of(line)}"))
    evaluated = []

    def evaluate(line, how):
        evaluated.append(line)
        return tiny.call(f"evaluate {trainings.folder_of(line)} {how}")

    monkeypatch.setattr(trainings, "evaluate", evaluate)
    for _ in range(2):
        assert benchmarks.main(["best"]) == 0
    first, second = evaluated
    tiny.call(f"evaluate {trainings.folder_of(first)} --temperature 2")
    assert benchmarks.main(["best"]) == 0
    assert evaluated == [first, second, first]
    lines = (tmp_path / "results" / "best.md").read_text().splitlines()
    *seeds, mean = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith(("| seed", "| mean"))
    )
    runs = json.loads((tmp_path / "results" / "best.json").read_text())["runs"]
    assert [row[3:6] + row[7:] for row in seeds] == [[*trainings.scores_of(r), *trainings.evaluated(r)] for r in runs]
    assert mean[3:6] + mean[7:] == [*trainings.means(runs)]
    assert not any("folder" in run for run in runs)  # pictures would name it instead of the run
    assert seeds[0][4:6] != seeds[0][7:]
    shutil.rmtree("runs")
    before = (tmp_path / "results" / "best.md").read_bytes()
    assert benchmarks.main(["best"]) == 0
    assert (tmp_path / "results" / "best.md").read_bytes() == before


def test_means_by_seed():
    """Of the figures before they are rounded; none where one is missing; other runs don't count."""

    def run(name, valid, **evaluation):
        result = {"valid_perplexity": valid, "test_perplexity": valid / 2, "metrics": {"best_epoch": 2}}
        history = [{"train_perplexity": 90.0}, {"train_perplexity": 3 * valid}]
        return {"name": name, "history": history, "result": result, "evaluation": evaluation}

    runs = [run(f"seed {n}", valid, valid_perplexity=n) for n, valid in enumerate((60.04, 60.04, 60.14), 1)]
    others = [run(f"LSTM, seed {n}", 70.0 + n) for n in (1, 2)]
    assert trainings.means([*others, *runs, run("another", 7.0)]) == ("180.2", "60.1", "30.0", "2.0", "")
    assert trainings.means([*others, *runs], "LSTM, ") == ("214.5", "71.5", "35.8", "", "")
    del runs[1]["evaluation"]
    assert trainings.means(runs)[3:] == ("", "")
    assert trainings.means(runs[:1]) == ()


def test_each_kind_has_its_mean(monkeypatch):
    """The runs of a report that differ in their seed alone are summed up in a row for each kind."""
    kinds = {"a, ": 60.0, "b, ": 70.0, "": 80.0}
    runs = {}
    for what, valid in kinds.items():
        for label, line in trainings.seeds(f"lstm --units {valid:g}", what, count=2).items():
            result = {"valid_perplexity": valid, "test_perplexity": valid + float(line[-1]), "parameters": 9}
            result["metrics"] = {"best_epoch": 1}
            runs[label] = {"name": "", "line": line, "history": [{"train_perplexity": 50.0}], "result": result}
    written = []
    monkeypatch.setitem(trainings.RUNS, "best", {label: run["line"] for label, run in runs.items()})
    monkeypatch.setattr(trainings, "find", lambda line, _: next(run for run in runs.values() if run["line"] == line))
    monkeypatch.setattr(report, "write", lambda *args, **_: written.append(args[3]))
    trainings.write_report("best")
    means = [row[:6] for row in written[0] if "mean" in row[0]]
    assert means == [(f"{w}mean of the seeds", "", "", "50.0", f"{v:.1f}", f"{v + 1.5:.1f}") for w, v in kinds.items()]


def test_pictures_come_from_the_reports_alone(tmp_path, monkeypatch):
    """Every picture there is: nothing is measured, and nothing else is written."""
    for path in report.RESULTS.glob("*.png"):
        shutil.copy(path.with_suffix(".json"), tmp_path)
        (tmp_path / path.name).touch()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(rounds, "measure", None)
    assert benchmarks.main(["draw"]) == 0
    assert {*tmp_path.iterdir()} == {*before}
    for path, content in before.items():
        assert path.stat().st_size > 10_000 if path.suffix == ".png" else path.read_bytes() == content
    with pytest.raises(SystemExit):
        benchmarks.main(["draw", "nonsense"])


def test_titles_say_what_was_measured():
    groups = {
        "a": {"ours": [1.0], "Keras": [2.0], "limit": [0.5]},
        "b": {"ours": [2.0], "Keras": [1.5], "Keras, XLA": [9]},
    }
    figure = charts.compared(groups)
    assert figure.get_suptitle() == "ours is 0.75 to 2 times as fast as Keras"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]  # the slowest, 4.5, on top
    assert charts.look("keras.RNN")["color"] == charts.look("Keras, XLA")["color"] != charts.look("ours")["color"]


@pytest.mark.parametrize("places", [[0.5], [0.9, 0.95, 1.0, 0.2], [0.5, 0.5, 0.5], [0.0, 0.01, 1.0]])
def test_labels_keep_apart(places):
    sizes = [0.1 + 0.05 * n for n in range(len(places))]
    moved = style.apart(places, sizes)
    order = np.argsort(places, kind="stable")
    edges = [edge for n in order for edge in (moved[n] - sizes[n] / 2, moved[n] + sizes[n] / 2)]
    assert np.all(np.diff(edges) > -1e-3) and edges[0] > -1e-3 and edges[-1] < 1 + 1e-3


def test_benchmarks_are_listed(capsys):
    assert benchmarks.main(["--help"]) == 0 and "caffe_table" in capsys.readouterr().out
    assert benchmarks.main(["nonsense"]) == 2 and "'nonsense'" in capsys.readouterr().err


def test_beside_what_is_published(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    tiny.write_corpus(tmp_path / "text")
    assert tiny.call(f"{tiny.RUN} --out one")[0] == 0
    assert benchmarks.main(["published", "one"]) == 0
    text = (tmp_path / "results" / "published.md").read_text()
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert f"| test | {result['test_perplexity']:.2f} | 116.72 | 113.64 |" in text
    assert tiny.call(f"{tiny.RUN} --dropout 0 --engine numpy --out two")[0] == 0
    assert benchmarks.main(["published", "two"]) == 0
    text = (tmp_path / "results" / "published.md").read_text()
    assert text.count("ours, ") == 2 and "ours, numpy: train, valid" in text
    assert (tmp_path / "results" / "published.png").stat().st_size > 1000
    path = shutil.copytree(tmp_path / "one", tmp_path / "large") / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": "large"}))  # of which nothing is published
    for folder in ("nowhere", "large"):
        assert benchmarks.main(["published", folder]) == 2
        assert folder in (said := capsys.readouterr().err)
    assert "must be a run of lstm small or " in said and said.endswith("not lstm large\n")
    line = tiny.RUN.replace("lstm", "hypernets --size paper") + " --hyper_units 3"
    assert tiny.call(f"{line} --out characters")[0] == 0
    (epoch, *_) = load(tmp_path / "characters" / "checkpoint.npz")[1]["progress"]["history"]
    bits = [math.log2(epoch[f"{split}_perplexity"]) for split in ("train", "valid")]
    (tmp_path / "characters" / "result.json").unlink()  # as if it had been stopped
    assert benchmarks.main(["published", "characters"]) == 0
    text = (tmp_path / "results" / "published.md").read_text()
    assert "| 1 | {:.3f}, {:.3f} |  |".format(*bits) in text
    assert "| 1.28 |  | 1.810 |" in text and "| test |  |  |" in text and "ours, numpy: train, valid" in text
