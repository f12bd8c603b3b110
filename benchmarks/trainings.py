"""Whole trainings side by side: which term of a network, which regularizer earns its place.

Each run is one of train.py's, in a folder of runs/ named after its command. What is finished goes
into the report, with its recipe and its epochs, and is not run again as long as the recipe is that;
what was stopped is gone on with. What is missing is said. The best are read once more, by dynamic
evaluation.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterable

from benchmarks import report
from lab import style
from lab.compare import draw, story
from lab.fields import InputError
from lab.methods import Methods
from lab.options import parse, recall, settle
from lab.run import ROOT, Run
from recipes import TARGETS


def tied(**changed) -> str:
    """The tied LSTM's command line with some fields changed."""
    return " ".join(["lstm --size tied", *(f"--{name} {each}" for name, each in changed.items())])


DROPOUTS = "word_dropout", "input_dropout", "state_dropout", "output_dropout", "recurrent_dropout"


def alone(**changed) -> str:
    """The same with no regularizer but those."""
    return tied(**dict.fromkeys(DROPOUTS, 0) | changed)


def seeds(line: str, what: str = "", count: int = 3) -> dict[str, str]:
    """Runs that differ in their seed alone, by their labels."""
    return {f"{what}seed {seed}": f"{line} --seed {seed}" for seed in range(1, count + 1)}


# What `search cell` found, beside other cells of at most 2.62 million parameters.
CELLS = {
    "LSTM": "--cell LSTM --units 411",
    "RHN, depth 3": "--cell RHN --cell.depth 3 --units 371",
    "DARTS_V1": "--genotype darts_v1 --units 223",
    "DARTS_V2": "--genotype darts_v2 --units 223",
    "best of random search": "--genotype relu0-sigmoid0-identity0-relu3 --units 294",
    "best of evolution": "--genotype relu0-tanh0-relu0 --units 326",
}
SEARCHED = "cell --size quick --epochs 3 --steps_per_epoch none"

RUNS = {
    "layer_norm": {
        "LSTM": tied(recurrent_dropout=0),
        "layer-norm LSTM": "lnlstm",
        "HyperLSTM": "hypernets --layer_norm false",
        "layer-norm HyperLSTM": "hypernets",
    },
    # With patience where training is sure to go on too long.
    "regularizers": {
        "none": alone(),
        "weight decay 0.01": alone(weight_decay=0.01, patience=2),
        "AR 2, TAR 1": alone(activation_penalty=2, temporal_penalty=1, patience=2),
        "word dropout 0.1": alone(word_dropout=0.1, patience=2),
        "weight drop 0.3": alone(weight_drop=0.3, patience=2),
        "zoneout 0.1": alone(zoneout=0.1),
        "recurrent dropout 0.3": alone(recurrent_dropout=0.3, patience=2),
        "variational 0.2, 0.1, 0.25": tied(word_dropout=0, recurrent_dropout=0),
        "variational, word dropout 0.05": tied(recurrent_dropout=0),
        "variational, word, recurrent dropout 0.1": tied(),
    },
    # Each alone in a third of the epochs, at the same number of parameters.
    "screening": {
        "as it is": tied(epochs=3),
        "partial shuffle": tied(epochs=3, partial_shuffle="true"),
        "averaged weights 0.999": tied(epochs=3, ema=0.999),
        "augmented loss 0.5": tied(epochs=3, augmented_loss=0.5),
        "capped input gate": tied(epochs=3, **{"cell.input_gate": "capped"}),
        "two layers": tied(epochs=3, layers=2, units=405),
        "two layers, summed": tied(epochs=3, layers=2, layer_sum="true", units=405),
        "coupled gates": tied(epochs=3, units=766, **{"cell.input_gate": "coupled"}),
        "Mogrifier, rank 40": tied(epochs=3, cell="MogrifierLSTM", units=629, **{"cell.rank": 40}),
    },
    "best": {
        **seeds("best"),
        "RHN": "best --cell RHN --cell.depth 4 --units 521",
        "HyperLSTM": "best --cell HyperLSTM --cell.hyper_units 64 --cell.layer_norm false --units 628 --epochs 11",
    },
    "searched": {
        label: line for name, how in CELLS.items() for label, line in seeds(f"{SEARCHED} {how}", f"{name}, ", 2).items()
    },
}
# How: what `--tune` chose on the validation text of seed 1, of the cache after the rest.
EVALUATED = {"best": "--dynamic --dynamic_rate 5e-5 --dynamic_decay 5e-3 --cache --cache_theta 15 --cache_share 0.05"}
MOST_CURVES = 4
TITLES = {
    "layer_norm": "Penn Treebank with and without layer normalization",
    "regularizers": "A tied LSTM on Penn Treebank: what each regularizer does",
    "screening": "A tied LSTM on Penn Treebank, three epochs: what each change does",
    "best": "The four best changes on Penn Treebank: a tied LSTM with three seeds, and two other cells",
    "searched": "Cells that a search found on Penn Treebank, three epochs, beside others",
}


def main(name: str, arguments: list[str]) -> int:
    """Run what is missing, write the report; 1 if a run did not come to its end."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=__doc__)
    parser.add_argument("--data_dir", default=None, help="a folder with Penn Treebank")
    parser.add_argument("--only", choices=RUNS[name], help="run just that")
    options, how = parser.parse_args(arguments), EVALUATED.get(name)
    for label, line in RUNS[name].items():
        if options.only not in (None, label):
            continue
        if find(line) is None:
            train(line, options.data_dir)
            write_report(name)
        if how and (run := find(line, how)) and "evaluation" not in run:
            evaluate(line, how)
    write_report(name)
    missing = [label for label, line in RUNS[name].items() if find(line) is None]
    for label in missing:
        print(f"not finished: {label}", file=sys.stderr)
    return 1 if missing else 0


def write_report(name: str):
    """The runs that are finished: as JSON, as a table, as curves."""
    lines, how = {line: label for label, line in RUNS[name].items()}, EVALUATED.get(name)
    finished = [run | {"name": lines[line]} for line in lines if (run := find(line, how))]
    if not finished:
        return
    rows = [("run", "command", "parameters", "train", "valid", "test", "best epoch")]
    notes = []
    if how:
        rows[0] += ("valid, evaluated", "test, evaluated")
        notes = [f"Evaluated: by `train.py evaluate RUN {how}`."]
    for run in finished:
        result, scores = run["result"], scores_of(run)
        run.pop("folder", None)  # its name says more
        run["changed"] = f"test {scores[-1]}"
        command, best = f"`train.py {run['line']}`", result["metrics"]["best_epoch"]
        more = evaluated(run) if how else ()
        rows.append((run["name"], command, f"{result['parameters']:,}", *scores, best, *more))
    for what in dict.fromkeys(run["name"].rpartition("seed ")[0] for run in finished):
        if mean := means(finished, what):
            rows.append((f"{what}mean of the seeds", "", "", *mean[:3], "", *(mean[3:] if how else ())))
    best = min(finished, key=lambda run: run["result"]["valid_perplexity"])
    notes += [f"Best on validation: {best['name']}."]
    if left := [label for label in RUNS[name] if label not in {run["name"] for run in finished}]:
        notes.append(f"Not trained yet: {', '.join(left)}.")
    print(report.write(name, TITLES[name], {"runs": finished}, rows, notes=notes, picture=picture))


def picture(told: dict):
    """A figure: curves of few runs, else the scores."""
    runs = told["runs"]
    return draw(runs, "perplexity") if len(runs) <= MOST_CURVES else dots(runs)


def dots(finished: list[dict]):
    """A figure: test perplexity by run, the lowest at the bottom."""
    scores = {run["name"]: run["result"]["test_perplexity"] for run in finished}
    lowest = min(scores, key=scores.get)
    plain = f"{scores['none']:.1f} without a regularizer, " if "none" in scores else ""
    figure = style.figure(f"Test perplexity: {plain}{scores[lowest]:.1f} with the best", 7, 0.9 + 0.27 * len(scores))
    axes = style.axes(figure, grid="x", xlabel="test perplexity")
    for y, name in enumerate(sorted(scores, key=scores.get)):
        color = style.MIDDLE if name == lowest else style.DARK
        axes.plot(scores[name], y, "o", color=color)
        axes.annotate(
            f"{scores[name]:.1f}", (scores[name], y), (8, -3.5), "data", "offset points", fontsize=9, color=color
        )
    axes.set_yticks(range(len(scores)), sorted(scores, key=scores.get))
    axes.margins(x=0.12)
    return figure


def perplexities(run: dict) -> list[float]:
    """Of training, validation and test, of the epoch best on validation; then those that `evaluate` found, or NaN."""
    found = [run["result"], run.get("evaluation", {})]
    train = run["history"][run["result"]["metrics"]["best_epoch"] - 1]["train_perplexity"]
    return [train, *(each.get(f"{split}_perplexity", math.nan) for each in found for split in ("valid", "test"))]


def rounded(scores: Iterable[float]) -> tuple[str, ...]:
    return tuple("" if math.isnan(score) else f"{score:.1f}" for score in scores)


def scores_of(run: dict) -> tuple[str, ...]:
    """Perplexities of training, validation and test as they are told."""
    return rounded(perplexities(run)[:3])


def evaluated(run: dict) -> tuple[str, ...]:
    """Perplexities of validation and test by `evaluate`, empty if there are none."""
    return rounded(perplexities(run)[3:])


def means(finished: list[dict], what: str = "") -> tuple[str, ...]:
    """Of the runs that differ in their seed alone, the means of their scores, if there are several.

    what: what stands before the seed in their names.
    """
    rows = [perplexities(run) for run in finished if run["name"].startswith(f"{what}seed ")]
    return rounded(map(statistics.mean, zip(*rows, strict=True))) if len(rows) > 1 else ()


def folder_of(line: str) -> pathlib.Path:
    return ROOT / "-".join(word.lstrip("-") for word in line.split())


def train(line: str, data_dir: str | None):
    """A run to its end, or as far as it gets."""
    folder = folder_of(line)
    command = [sys.executable, "train.py", *line.split(), "--corpus", "ptb", "--out", str(folder)]
    command += ["--data_dir", data_dir] if data_dir else []
    subprocess.run(command + (["--resume"] if folder.exists() else []), check=False)


def evaluate(line: str, how: str):
    """A finished run read again, by some methods, if it is still there."""
    if (folder := folder_of(line)).exists():
        subprocess.run([sys.executable, "train.py", "evaluate", str(folder), *how.split()], check=False)


def evaluation(found: dict, how: str | None) -> dict:
    """What `evaluate` found, if it was by those methods."""
    if not how:
        return {}
    methods = Methods(**parse(["evaluate", "RUN", *how.split()], TARGETS)[0].methods)
    return {"evaluation": found} if found.get("settings") == methods.settings() else {}


def find(line: str, how: str | None = None) -> dict | None:
    """What there is to say of a run that is finished, and evaluated so: of its folder, or as a report has it."""
    options, overrides = parse(line.split(), TARGETS)
    try:
        recipe = settle(options, overrides, TARGETS)[0]
    except InputError as error:
        print(f"{line}: {error}", file=sys.stderr)
        return None
    run = Run(folder_of(line))
    if (run.folder / "result.json").exists() and recall(run, TARGETS)[0] == recipe:
        found = run.read("evaluation.json") if (run.folder / "evaluation.json").exists() else {}
        return story(run, TARGETS) | {"line": line, "recipe": recipe.values()} | evaluation(found, how)
    for path in (report.RESULTS / f"{name}.json" for name in RUNS):
        for kept in json.loads(path.read_text())["runs"] if path.exists() else ():
            if kept["line"] == line and recipe.with_values(kept["recipe"]) == recipe:
                read = evaluation(kept.pop("evaluation", {}), how)
                return kept | read
    return None
