"""Whole trainings side by side: which term of a network, which regulariser earns its place.

Each run is one of train.py's, in a folder of runs/ named after its command. What is finished is not
run again, what was stopped is gone on with; the report has the runs that are finished as the recipe
is today, and says which are not.
"""

import argparse
import pathlib
import subprocess
import sys

from benchmarks import report
from recipes.compare import draw, story, write
from recipes.options import parse, recall, settle
from recipes.run import ROOT, Run

NO_DROPOUT = "--word_dropout 0 --input_dropout 0 --state_dropout 0 --output_dropout 0"
BARE = f"lstm --size tied {NO_DROPOUT}"
RUNS = {
    "layer_norm": {
        "LSTM": "lstm --size tied",
        "LSTM, with lnlstm's restarts": "lstm --size tied --restart 0.02",
        "layer-norm LSTM": "lnlstm",
        "HyperLSTM": "hypernets --layer_norm false",
        "layer-norm HyperLSTM": "hypernets",
    },
    "regularisers": {
        "none": BARE,
        "word dropout": f"{BARE} --word_dropout 0.1",
        "variational": "lstm --size tied --word_dropout 0",
        "variational, a mask a gate": "lstm --size tied --word_dropout 0 --untied_masks true",
        "recurrent dropout": f"{BARE} --recurrent_dropout 0.3",
        "zoneout": f"{BARE} --zoneout 0.1",
        "weight drop": f"{BARE} --weight_drop 0.3",
        "AR": f"{BARE} --activation_penalty 2",
        "TAR": f"{BARE} --temporal_penalty 1",
        "weight decay": f"{BARE} --weight_decay 0.01",
        "word dropout, variational": "lstm --size tied",
        "these, AR, TAR": "lstm --size tied --activation_penalty 2 --temporal_penalty 1",
        "these, recurrent dropout": "lstm --size tied --recurrent_dropout 0.1",
    },
}
TITLES = {
    "layer_norm": "Penn Treebank with and without layer normalisation",
    "regularisers": "A tied LSTM on Penn Treebank: what each regulariser does",
}


def main(name: str, arguments: list[str]) -> int:
    """Run what is missing, write the report; 1 if a run did not come to its end."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=__doc__)
    parser.add_argument("--data_dir", default=None, help="a folder with Penn Treebank")
    parser.add_argument("--only", choices=RUNS[name], help="run just that")
    options = parser.parse_args(arguments)
    for label, line in RUNS[name].items():
        if options.only in (None, label) and not (folder_of(line) / "result.json").exists():
            train(line, options.data_dir)
    finished = {label: read(line) for label, line in RUNS[name].items()}
    missing = [label for label, run in finished.items() if run is None]
    finished = {label: run for label, run in finished.items() if run}
    if finished:
        rows = [("run", "command", "parameters", "train", "valid", "test", "best epoch")]
        for label, run in finished.items():
            result = run["result"]
            scores = (
                f"{result[f'{split}_perplexity']:.1f}" for split in ("train", "valid", "test")
            )
            command = f"`train.py {RUNS[name][label]}`"
            best = result["metrics"]["best_epoch"]
            rows.append((label, command, f"{result['parameters']:,}", *scores, best))
            run |= {"name": label, "changed": f"test {result['test_perplexity']:.1f}"}
        best = min(finished, key=lambda label: finished[label]["result"]["valid_perplexity"])
        note = f"Best on validation: {best}."
        path = report.write(name, TITLES[name], {"runs": finished}, rows, notes=[note])
        write(draw(list(finished.values()), "perplexity"), path.with_suffix(".png"))
        print(path)
    for label in missing:
        print(f"not finished: {label}", file=sys.stderr)
    return 1 if missing else 0


def folder_of(line: str) -> pathlib.Path:
    return ROOT / "-".join(word.lstrip("-") for word in line.split())


def train(line: str, data_dir: str | None):
    """A run to its end, or as far as it gets."""
    folder = folder_of(line)
    command = [sys.executable, "train.py", *line.split(), "--corpus", "ptb", "--out", str(folder)]
    command += ["--data_dir", data_dir] if data_dir else []
    subprocess.run(command + (["--resume"] if folder.exists() else []), check=False)


def read(line: str) -> dict | None:
    """What there is to say of a run, if it is finished, and not another recipe's."""
    run = Run(folder_of(line))
    if not (run.folder / "result.json").exists():
        return None
    options, overrides = parse(line.split())
    if recall(run)[0] != settle(options, overrides)[0]:
        print(f"{run.folder}: of another recipe", file=sys.stderr)
        return None
    return story(run)
