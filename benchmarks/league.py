"""Every cell as a language model of Penn Treebank: validation perplexity beside words/s, at equal parameters.

An epoch, or 10 minutes if that is less; one learning rate by words seen. Minutes and words/s are those of a quiet
machine: blocks of 20 steps are timed while /proc/stat tells how busy other processes are, and the 200 quietest steps
count, or half of all if there are fewer than 400. A row is a run in a folder of runs/; one that was stopped goes on
from its last checkpoint, one that is done is not run again.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import statistics
import sys
import time

import numpy as np

from benchmarks import report
from benchmarks.contest import CELLS, FAMILY, HEADS, Rows, fitted, tell, with_cell
from lab import style
from lab.checkpoints import NotFinite, Progress, keep, restore
from lab.evaluation import check_data, mean_loss
from lab.fields import BAD_INPUT
from lab.options import absolute, check_unchanged, located, read_budget
from lab.recipe import differences
from lab.run import ROOT, Run, write_json
from lab.training import Training, begin
from recipes import TARGETS

BUDGET, MINUTES = TARGETS["rhn"]["small"].parameters, 10.0
BASE = dataclasses.replace(
    TARGETS["lstm"]["tied"].recipe,
    epochs=1,
    restart=0.02,  # as the recipes have it whose cells normalize what they carry; here for all
    evaluation_steps=35,
)
SLOTS = {"state_dropout": "kernel", "recurrent_dropout": "update"}
"""The regularizers that act in a slot which some cells don't have."""
KEPT = "ScoRNNCell"
"""The cell that keeps the size of its state: dropout, which scales up what it leaves, makes it grow without bound."""
SETTINGS = {"target": "lstm", "size": "tied", "seed": 1, "engine": "graph", "precision": "float32"}
DROPOUTS = ("word_dropout", "input_dropout", "state_dropout", "output_dropout", "recurrent_dropout")
BLOCK, QUIETEST = 20, 10  # steps, blocks
NOTHING = 500  # perplexity
BUSY = 0.05  # the share of the processors from which other work is said


class TimeUp(Exception):
    """The minutes are over."""


class Clock:
    """Times blocks of steps, and ends training when steps as quick as the quiet ones would have taken so many seconds,
    or after so many blocks.

    It stands where `Training` has signals, whose `check` is called after every step.
    """

    received = None  # no signal: what is up says so in `check`

    def __init__(self, path: pathlib.Path | None, progress, seconds: float = math.inf, most: float = math.inf):
        self.path, self.progress, self.seconds, self.most = path, progress, seconds, most
        self.blocks: list[list[float]] = json.loads(path.read_text()) if path and path.exists() else []
        self.compiled = False
        self.start()

    def start(self):
        self.first, self.mark = len(self.progress.step_seconds), moments()

    def check(self):
        times = self.progress.step_seconds[self.first :]
        if len(times) < BLOCK:
            return
        if self.compiled:
            self.blocks.append([sum(times) / BLOCK, others(self.mark, moments())])
            if self.path:
                write_json(self.path, self.blocks)
            if self.is_up():
                raise TimeUp
        self.compiled = True
        self.start()

    def is_up(self) -> bool:
        spent = self.progress.step * self.pace()[0] if self.blocks else 0.0
        return spent >= self.seconds or len(self.blocks) >= self.most

    def pace(self) -> tuple[float, float]:
        """Seconds a step of the quietest blocks, at most half of all, and the largest share of others in them."""
        blocks = sorted(self.blocks, key=lambda block: block[1])
        quiet = blocks[: min(QUIETEST, -(-len(blocks) // 2))]
        return float(np.median([seconds for seconds, _ in quiet])), max(share for _, share in quiet)


def moments() -> tuple[float, float, float]:
    """Seconds by the clock, of this process, and of all processors at work, which is 0 where /proc/stat is not."""
    path = pathlib.Path("/proc/stat")
    ticks = [int(number) for number in path.read_text().splitlines()[0].split()[1:9]] if path.exists() else [0]
    busy = (sum(ticks) - sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), time.process_time(), busy


def others(start: tuple, end: tuple) -> float:
    """The share of the processors that other processes took meanwhile."""
    wall, own, busy = (after - before for before, after in zip(start, end, strict=True))
    return max(0.0, busy - own) / (wall * os.cpu_count())


def recipe_of(cell: str, data, budget: int):
    """The recipe of a cell, with the regularizers that suit it; and its number of parameters."""
    bare = with_cell(dataclasses.replace(BASE, **dict.fromkeys(SLOTS, 0.0), units=8), cell, HEADS)
    without = [name for name, slot in SLOTS.items() if cell == KEPT or slot not in bare.make_cell().slots]
    return fitted(with_cell(dataclasses.replace(BASE, **dict.fromkeys(without, 0.0)), cell, HEADS), data, budget)


def train(
    cell: str, folder: pathlib.Path, corpus: str, data_dir: str | None, budget: int, minutes: float, save: float
) -> dict:
    """A row, begun or gone on with; for a fresh process."""
    from lab.learner import make_learner

    data = BASE.load(corpus, data_dir)
    recipe, parameters = recipe_of(cell, data, budget)
    settings = SETTINGS | {"corpus": corpus, "data_dir": data_dir}
    learner = make_learner(recipe, data, settings)
    if (folder / "recipe.json").exists():
        run = Run(folder)
        check_data(run, recipe, data)
        check_unchanged(run, differences(recipe, recipe.with_values(run.about()["recipe"])))
    else:
        run = begin(recipe, settings, data, learner, folder)
    batches = recipe.batches(data)
    with run.locked():
        progress = restore(recipe, data, run, learner)
        clock = Clock(folder / "blocks.json", progress, 60 * minutes)
        row = {"units": recipe.units, "parameters": parameters, "linear": recipe.make_cell().takes_all_steps}
        row["without"] = [name for name in SLOTS if not getattr(recipe, name)]
        training = Training(recipe, data, settings, learner, run, progress, clock)
        try:
            with contextlib.suppress(TimeUp):
                if not clock.is_up():
                    training.steps(cell, batches, save)
            keep(run, learner, progress)
        except NotFinite as error:
            return row | {"diverged": str(error)}
        words = recipe.predictions(batches)
        losses = {"train": progress.loss / words / progress.step, "valid": mean_loss(learner, data, "valid")}
    scores = {f"{split}_perplexity": recipe.score(loss) for split, loss in losses.items()}
    if not all(map(math.isfinite, scores.values())):
        return row | {"diverged": str(scores)}
    pace, share = clock.pace() if clock.blocks else (float(np.median(progress.step_seconds)), math.nan)
    how = {"steps": progress.step, "epoch": progress.step / len(batches), "seconds": sum(progress.step_seconds)}
    return row | scores | how | speed_of(words / pace, share)


def speed_of(words_per_second: float, share: float) -> dict:
    """What a row has of its words/s. share: of others, meanwhile."""
    return {"words_per_second": words_per_second, "others": share, "processor": report.processor()}


def time_again(cell: str, corpus: str, data_dir: str | None, budget: int, row: dict) -> dict:
    """The row with the words/s of new steps, if these are quieter or the row's are another machine's."""
    from lab.learner import make_learner

    data = BASE.load(corpus, data_dir)
    recipe, _ = recipe_of(cell, data, budget)
    settings, progress = SETTINGS | {"corpus": corpus, "data_dir": data_dir}, Progress()
    batches, clock = recipe.batches(data), Clock(None, progress, 60 * MINUTES, 2 * QUIETEST)
    training = Training(recipe, data, settings, make_learner(recipe, data, settings), None, progress, clock)
    with contextlib.suppress(TimeUp):
        training.steps(cell, batches, math.inf)
    pace, share = clock.pace()
    if is_from_here(row) and share >= row["others"]:
        return row
    return row | speed_of(recipe.predictions(batches) / pace, share)


def is_from_here(row: dict) -> bool:
    """Whether the row's words/s are those of a machine like this."""
    return row["processor"] == report.processor()


def is_to_be_timed(row: dict) -> bool:
    """Whether the row has words/s that are another machine's, or loud ones."""
    return "words_per_second" in row and not (is_from_here(row) and row["others"] < BUSY)


def main(arguments: list[str]) -> int:
    """Train what is missing, write the report; 1 if something still is, 2 without the corpus."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks league", description=__doc__)
    parser.add_argument("--data_dir", type=absolute, help="a folder with Penn Treebank")
    parser.add_argument("--corpus", default="ptb", help="another, as train.py takes it")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "league", help="the folder of the rows' runs")
    parser.add_argument("--only", choices=CELLS, nargs="+", default=CELLS, metavar="CELL", help="train just those")
    parser.add_argument("--budget", type=read_budget, default=BUDGET, help=f"parameters; {BUDGET:,} by default")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of a row, at most; 10 by default")
    parser.add_argument("--save_seconds", type=float, default=60.0, help="between checkpoints; 60 by default")
    help = f"time rows anew of other machines, or during which others had {100 * BUSY:g} %% of the processors or more"
    parser.add_argument("--again", action="store_true", help=help)
    options = parser.parse_args(arguments)
    options.corpus = located(options.corpus, BASE)
    settings = {name: getattr(options, name) for name in ("corpus", "budget", "minutes")} | {"recipe": BASE.values()}
    whole = settings == settings | {"corpus": "ptb", "budget": BUDGET, "minutes": MINUTES}
    try:
        BASE.load(options.corpus, options.data_dir)
    except BAD_INPUT as error:
        print(f"benchmarks league: skipped, there is no corpus: {error}", file=sys.stderr)
        return 2
    rows = Rows("league", options.runs.resolve(), settings, whole)
    given = options.corpus, options.data_dir, options.budget, options.minutes, options.save_seconds
    rows.run({cell: (train, cell, rows.folder / cell, *given) for cell in options.only}, write_report)
    if options.again:
        given = options.corpus, options.data_dir, options.budget
        chosen = {cell: row for cell, row in rows.rows.items() if cell in options.only and is_to_be_timed(row)}
        rows.run({cell: (time_again, cell, *given, row) for cell, row in chosen.items()}, write_report, anew=True)
    return int(any(cell not in rows.rows for cell in CELLS))


def write_report(rows: Rows):
    """The rows that are done: as JSON, as a table, as a picture."""
    if not rows.rows:
        return
    missing = [cell for cell in CELLS if cell not in rows.rows]
    told = {"settings": rows.settings, "missing": missing, "rows": dict(sorted(rows.rows.items()))}
    title = "Every cell as a language model of Penn Treebank"
    where = rows.machine if rows.machine and rows.machine["processor"] == processor_of(told) else None
    report.write(rows.name, title, told, table(told), notes=notes_of(told), picture=picture, where=where)
    if rows.whole:
        tell("league", page(told))


def notes_of(told: dict) -> list[str]:
    """The conditions, and what is missing."""
    budget, minutes = (told["settings"][name] for name in ("budget", "minutes"))
    dropouts = ", ".join(f"{name.replace('_', ' ')} {getattr(BASE, name)}" for name in DROPOUTS)
    return [
        f"At most {budget:,} parameters, trained or not: tied embeddings of {BASE.embedding_units}, one layer. "
        "Cells are as they are by default, except MLSTMCell (heads=4).",
        f'An epoch, or {minutes:g} minutes of a quiet machine if that is less: column "epoch". Adam; the rate '
        f"rises to {BASE.learning_rate:g} over the first tenth of the words and falls to zero at the end of the epoch. "
        "A row that was cut short has not come so far down.",
        f"Regularizers are the tied LSTM's, where the cell has a slot for them: {dropouts}. {100 * BASE.restart:g} % "
        f"of a batch's rows begin a window at the zero state. {KEPT} keeps the size of its state, which dropout "
        "of it makes grow without bound: it has none.",
        f"Words/s: the median of the {QUIETEST * BLOCK} steps, at most half of all, in blocks of {BLOCK}, during which "
        'other processes took the smallest share of the processors. Column "others" has the largest of those shares, '
        f"in bold from {100 * BUSY:g} % on.",
        *unsuited(told),
        *untimed(told),
        *([f"Not done yet: {', '.join(told['missing'])}."] if told["missing"] else []),
    ]


def unsuited(told: dict) -> list[str]:
    """A sentence on the cells that have learned next to nothing."""
    rows = told["rows"]
    cells = [cell for cell in ranked(told) if rows[cell].get("valid_perplexity", math.inf) > NOTHING]
    if not cells:
        return []
    how = {cell: "diverged" if "diverged" in rows[cell] else f"epoch {rows[cell]['epoch']:.2f}" for cell in cells}
    named = (cell if how[cell] == "epoch 1.00" else f"{cell} ({how[cell]})" for cell in cells)
    return [
        f"These learned almost nothing (above {NOTHING}): {', '.join(named)}. The one recipe of all does not suit "
        "them; another learning rate or initialization may."
    ]


def ranked(told: dict) -> list[str]:
    """The cells that are done, by perplexity; what diverged comes last."""
    rows = told["rows"]
    return sorted(rows, key=lambda cell: rows[cell].get("valid_perplexity", math.inf))


def timed(told: dict) -> dict[str, dict]:
    return {cell: row for cell, row in told["rows"].items() if "words_per_second" in row}


def processor_of(told: dict) -> str | None:
    """The one on which most words/s were measured."""
    return statistics.mode(row["processor"] for row in timed(told).values()) if timed(told) else None


def speeds(told: dict) -> dict[str, float]:
    """Words/s by cell, of that processor."""
    processor = processor_of(told)
    return {cell: row["words_per_second"] for cell, row in timed(told).items() if row["processor"] == processor}


def untimed(told: dict) -> list[str]:
    """A sentence on the cells whose words/s are another machine's."""
    cells = [cell for cell in ranked(told) if cell in timed(told).keys() - speeds(told).keys()]
    known = "Trained on another machine, and not timed yet on that of the others"
    return [f"{known}: {', '.join(cells)}."] if cells else []


def front(told: dict) -> list[str]:
    """The cells of which no other has both the lower perplexity and more words/s, by perplexity."""
    found, fastest, known = [], 0.0, speeds(told)
    for cell in ranked(told):
        if (speed := known.get(cell, 0.0)) > fastest:
            found, fastest = [*found, cell], speed
    return found


HEAD = (
    "cell",
    "family",
    "linear",
    "units",
    "parameters",
    "epoch",
    "train perplexity",
    "valid perplexity",
    "words/s",
    "others",
    "without",
)


def table(told: dict) -> list[tuple]:
    rows, known = [HEAD], speeds(told)
    for cell in ranked(told):
        row = told["rows"][cell]
        start = cell, FAMILY[cell], "yes" if row["linear"] else "", row["units"], f"{row['parameters']:,}"
        end = ", ".join(name.replace("_", " ") for name in row["without"])
        if "diverged" in row:
            rows.append((*start, "", "", "diverged", "", "", end))
            continue
        perplexities = (f"{row[f'{split}_perplexity']:.1f}" for split in ("train", "valid"))
        share = f"{100 * row['others']:.1f} %"
        share = f"**{share}**" if row["others"] >= BUSY else share
        speed = (f"{known[cell]:,.0f}", share) if cell in known else ("", "")
        rows.append((*start, f"{row['epoch']:.2f}", *perplexities, *speed, end))
    return rows


def picked(rows: list[tuple], cells: list[str], columns: tuple) -> list[tuple]:
    """Some rows of a table, in the order of `cells`, and some of its columns."""
    head, *body = rows
    places = [head.index(column) for column in columns]
    lines = {row[0]: tuple(row[place] for place in places) for row in body}
    return [columns, *(lines[cell] for cell in cells)]


SHORT = ("cell", "valid perplexity", "words/s", "epoch")


def page(told: dict) -> list[str]:
    """What the page on choosing a cell says of it."""
    lost = [cell for cell, row in told["rows"].items() if "diverged" in row]
    done, ahead, rows = [cell for cell in ranked(told) if cell not in lost], front(told), table(told)
    diverged = f"; {', '.join(lost)} diverged" if lost else ""
    lines = [f"{len(told['rows'])} of {len(CELLS)} cells are measured{diverged}."]
    if not done:
        return lines
    return [
        *lines,
        "",
        f"Of the {len(speeds(told))} cells that are timed, none is both better and faster than "
        f"{'this' if len(ahead) == 1 else 'any of these'}:",
        "",
        *report.table(picked(rows, ahead, SHORT)),
        "",
        "The lowest perplexities:",
        "",
        *report.table(picked(rows, done[:10], SHORT)),
        *("\n" + line for line in [*unsuited(told), *untimed(told)]),
    ]


def picture(told: dict):
    """A figure: perplexity by words/s; those ahead of all others have their names."""
    rows, ahead, known = told["rows"], front(told), speeds(told)
    done = [cell for cell in ranked(told) if cell in known]
    few = ", ".join(cell.removesuffix("Cell") for cell in ahead)
    figure = style.figure(f"Of {len(done)} cells none has both lower perplexity and more words/s than {few}", 8, 5.5)
    given = {"xlabel": "words/s in training", "ylabel": "validation perplexity", "xscale": "log", "yscale": "log"}
    axes = style.axes(figure, title="squares: linear in the state", **given)
    for cell in done:
        place = known[cell], rows[cell]["valid_perplexity"]
        color = style.MIDDLE if cell in ahead else style.LIGHT
        axes.plot(*place, "s" if rows[cell]["linear"] else "o", color=color, markersize=6)
    points = [(known[cell], rows[cell]["valid_perplexity"]) for cell in ahead]
    style.label(axes, [cell.removesuffix("Cell") for cell in ahead], points, [style.MIDDLE] * len(ahead))
    return figure
