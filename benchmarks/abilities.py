"""What each cell can do: small tasks that tell cells apart, at equal parameters and in equal time.

A training has one thread, new examples in every batch, and 30 s of processor time: as many steps as would take that
if each were as quick as the quickest tenth, so that other work on the machine does not count. The first step, which
compiles, does not count either. Every cell trains once on each task; each task's ten best with two more seeds. A
training that is done is kept in a folder of runs/, and is not done again.
"""

import argparse
import collections
import itertools
import math
import pathlib
import time
from dataclasses import dataclass

import numpy as np

from benchmarks import report
from benchmarks.contest import CELLS, FAMILY, HEADS, Rows, fitted, tell, with_cell
from lab import style
from lab.fields import Count
from lab.options import read_budget
from lab.run import ROOT
from lab.tasks.adding import Adding
from lab.tasks.sequences import Arrays, Rng, SequenceTask

BUDGET, SECONDS = 10_000, 30.0
BEST, SEEDS = 10, (1, 2, 3)
WIDTH = 32  # of the input that the cell gets
TESTED = 1000  # sequences
UNASKED = -1
UNUSUAL = HEADS | {"HyperLSTMCell": {"hyper_units": 8}, "CfCCell": {"backbone_units": 32}}
"""Arguments of cells whose default is too large for the budget."""


class Widened(SequenceTask):
    """A linear map of the input first: without it cells that have no recurrent kernel would get a thousand units."""

    def recurrent(self, x):
        import keras

        return super().recurrent(keras.layers.Dense(WIDTH, name="input_map")(x))


class Sum(Widened, Adding):
    """The adding problem; what is tested is the squared error."""

    sign, solved = -1, 0.01

    def tested(self, model, rng: Rng, steps: int) -> float:
        x, y = self.draw(rng, TESTED, steps, steps)
        return float(np.mean((self.predict(model, x) - y) ** 2))


@dataclass(frozen=True, kw_only=True)
class Ability(Widened):
    """Answers of `classes` kinds, at the steps where one is asked for, to sequences that DRAWN[drawn] makes."""

    drawn: str
    classes: Count
    steps: Count

    unit, score_name = "sequences", "cross_entropy"
    sign, solved = 1, 0.99

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        return DRAWN[self.drawn](rng, count, self.steps)

    def network(self, features, targets):
        import keras

        x = keras.Input((None, *features[1:]))
        return keras.Model(x, keras.layers.Dense(self.classes, name="output")(self.recurrent(x)))

    def losses(self, model, x, y, state, training=False):
        import tensorflow as tf

        each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(y, 0), model(x, training=training))
        asked = tf.cast(y != UNASKED, each.dtype)
        return tf.reduce_sum(each * asked, 1) / tf.reduce_sum(asked, 1), state

    def tested(self, model, rng: Rng, steps: int) -> float:
        """The share of answers that are right: the last ones, or all of `copy`."""
        x, y = DRAWN[self.drawn](rng, TESTED, steps)
        asked = y != UNASKED
        asked[:, :-1] &= self.drawn == "copy"
        return float(np.mean((self.predict(model, x).argmax(-1) == y)[asked]))


def parity(rng: Rng, count: int, steps: int) -> Arrays:
    """Bits; from the second step on, whether those so far have an odd number of ones."""
    bits = rng.integers(2, size=(count, steps))
    return one_hot(bits, 2), from_second(bits.cumsum(1) % 2)


ORDERS = list(itertools.permutations(range(3)))
AFTER = np.array([[ORDERS.index(tuple(first[n] for n in second)) for second in ORDERS] for first in ORDERS])
"""The number in ORDERS of what it makes to put things into the first order, then those into the second."""


def permutations(rng: Rng, count: int, steps: int) -> Arrays:
    """Permutations of three things; from the second step on, all so far as one."""
    given = rng.integers(len(ORDERS), size=(count, steps))
    so_far = given.copy()
    for t in range(1, steps):
        so_far[:, t] = AFTER[so_far[:, t - 1], given[:, t]]
    return one_hot(given, len(ORDERS)), from_second(so_far)


def from_second(y: np.ndarray) -> np.ndarray:
    y = y.astype("int32")
    y[:, 0] = UNASKED
    return y


SYMBOLS, LENGTH = 8, 10


def copy(rng: Rng, count: int, steps: int) -> Arrays:
    """Ten of eight symbols, blanks, then at ten steps a sign, at which they are asked for in their order."""
    symbols = rng.integers(SYMBOLS, size=(count, LENGTH))
    shown = np.full((count, steps), SYMBOLS)
    shown[:, :LENGTH], shown[:, -LENGTH:] = symbols, SYMBOLS + 1
    y = np.full((count, steps), UNASKED, "int32")
    y[:, -LENGTH:] = symbols
    return one_hot(shown, SYMBOLS + 2), y


def noise(rng: Rng, count: int, steps: int) -> Arrays:
    """Three times 1 or -1, then noise of variance 0.2 on the same line; at the end, which it was."""
    x = rng.normal(0, math.sqrt(0.2), (count, steps, 1)).astype("float32")
    kind = rng.integers(2, size=count)
    x[:, :3, 0] = 2 * kind[:, None] - 1
    y = np.full((count, steps), UNASKED, "int32")
    y[:, -1] = kind
    return x, y


def one_hot(numbers: np.ndarray, size: int) -> np.ndarray:
    return np.eye(size, dtype="float32")[numbers]


DRAWN = {"parity": parity, "S3": permutations, "copy": copy, "noise": noise}
SHARED = {
    "units": 1,
    "epochs": 1,
    "batch_size": 32,
    "train_examples": 32,
    "valid_examples": 1,
    "test_examples": 1,
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "warm_up": 0.05,
    "anneal": "linear",
    "clip_norm": 1.0,
}
TASKS: dict[str, tuple] = {  # the task, and the lengths at which it is tested
    "parity": (Ability(drawn="parity", classes=2, steps=40, **SHARED), (40, 160)),
    "S3": (Ability(drawn="S3", classes=len(ORDERS), steps=40, **SHARED), (40, 160)),
    "adding": (Sum(steps=200, **SHARED), (200,)),
    "copy": (Ability(drawn="copy", classes=SYMBOLS, steps=40, **SHARED), (40,)),
    "noise": (Ability(drawn="noise", classes=2, steps=50, **SHARED), (50,)),
}


def train(task: str, cell: str, seed: int, budget: int, seconds: float) -> dict:
    """A training and its tests, for a fresh process."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from lab.learner import make_learner

    recipe, lengths = TASKS[task]
    data = recipe.recall(None)
    recipe, parameters = fitted(with_cell(recipe, cell, UNUSUAL), data, budget)
    learner = make_learner(recipe, data, {"seed": seed, "engine": "graph", "precision": "float32"})
    row = {"units": recipe.units, "parameters": parameters, "linear": recipe.make_cell().takes_all_steps}
    rng, times, losses, used = np.random.default_rng(seed), [], [], 0.0
    while used < seconds:
        x, y = recipe.examples(rng, recipe.batch_size, "train")
        began = time.process_time()
        loss, norm = learner.train(x, y, recipe.rate(0, used, seconds))
        times.append(time.process_time() - began)
        losses.append(loss / recipe.batch_size)
        if not math.isfinite(loss + norm):
            return row | {"diverged": len(losses)}
        if len(times) < 20 or len(times) % 20 == 0:
            used = len(times[1:]) * float(np.percentile(times[1:] or [0.0], 10))
    rng = np.random.default_rng(0)
    found = {str(steps): recipe.tested(learner.model, rng, steps) for steps in lengths}
    solved = recipe.sign * found[str(lengths[-1])] >= recipe.sign * recipe.solved
    counted = {"steps": len(losses), "first_step_seconds": times[0], "seconds": sum(times[1:])}
    return row | counted | {"loss": float(np.mean(losses[-100:])), "found": found, "solved": bool(solved)}


def main(arguments: list[str]) -> int:
    """Train what is missing, write the report; 1 if something still is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks abilities", description=__doc__)
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "abilities", help="the folder of what is done")
    parser.add_argument("--only", choices=CELLS, nargs="+", default=CELLS, metavar="CELL", help="train just those")
    parser.add_argument("--task", choices=TASKS, nargs="+", default=list(TASKS), help="train on just those")
    parser.add_argument("--budget", type=read_budget, default=BUDGET, help="parameters; 10,000 by default")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a training; 30 by default")
    parser.add_argument("--at_once", type=int, default=report.cores(), help="trainings at once; one a core by default")
    options = parser.parse_args(arguments)
    settings = {"budget": options.budget, "seconds": options.seconds}
    rows = Rows("abilities", options.runs.resolve(), settings, whole=settings == {"budget": BUDGET, "seconds": SECONDS})
    made = (rows.machine or {}).get("processor")
    if rows.rows and made not in (None, report.processor()):
        parser.error(
            f"{rows.name}.json is of a machine with {made}, this one has {report.processor()}: in as much time they do "
            "not do as many steps. Go on there, or take the report and --runs away to begin anew"
        )
    for task in options.task:
        for seeds in ([SEEDS[0]], SEEDS):
            cells = [cell for cell in options.only if seeds == [SEEDS[0]] or cell in best(rows.rows, task)]
            jobs = {
                key_of(task, cell, seed): (train, task, cell, seed, options.budget, options.seconds)
                for seed in seeds
                for cell in cells
            }
            rows.run(jobs, write_report, options.at_once)
    return int(bool(missing(rows.rows)))


def key_of(task: str, cell: str, seed: int) -> str:
    return f"{task}/{cell}/{seed}"


def best(rows: dict[str, dict], task: str) -> list[str]:
    """The cells that come first in a task by the first seed: by the longest test, then the shorter, then the loss."""
    recipe, lengths = TASKS[task]
    found = {cell: rows.get(key_of(task, cell, SEEDS[0]), {}) for cell in CELLS}

    def rank(cell: str) -> tuple:
        row = found[cell]
        return *(-recipe.sign * row["found"][str(steps)] for steps in reversed(lengths)), row["loss"]

    return sorted((cell for cell in CELLS if "found" in found[cell]), key=rank)[:BEST]


def missing(rows: dict[str, dict]) -> list[str]:
    """What a whole report has and this one has not: trainings with the first seed, then more of the best."""
    first = [key_of(task, cell, SEEDS[0]) for task in TASKS for cell in CELLS]
    left = [key for key in first if key not in rows]
    if left:
        return left
    more = (key_of(task, cell, seed) for task in TASKS for cell in best(rows, task) for seed in SEEDS[1:])
    return [key for key in more if key not in rows]


def write_report(rows: Rows):
    """The trainings that are done: as JSON, as tables, as a picture."""
    if not rows.rows:
        return
    told = {"settings": rows.settings, "missing": missing(rows.rows), "rows": dict(sorted(rows.rows.items()))}
    more = {"The best ten of each task with three seeds": seeds_table(told)}
    report.write(rows.name, "What each cell learns to do", told, table(told), more, notes_of(told), picture)
    if rows.whole:
        tell("abilities", page(told))


def notes_of(told: dict) -> list[str]:
    """The conditions, what was counted, what is missing."""
    counted = {key: row for key, row in told["rows"].items() if "steps" in row}
    steps, first = ([row[name] for row in counted.values()] or [0] for name in ("steps", "first_step_seconds"))
    slowest = min(counted, key=lambda key: counted[key]["steps"], default="none")
    given = " and ".join(f"{cell} ({name}={n})" for cell, own in UNUSUAL.items() for name, n in own.items())
    left = collections.Counter(key.partition("/")[0] for key in told["missing"])
    budget, seconds, rate = *told["settings"].values(), SHARED["learning_rate"]
    return [
        f"At most {budget:,} parameters, trained or not: a linear map of the input to {WIDTH}, one layer of the cell, "
        f"a linear map to the answers. Cells are as they are by default, except {given}.",
        "parity, S3: asked at every step from the second on of 40 in training, so of all lengths from 2 to 40; tested "
        "at the last of 40 and of 160 steps. Chance: 50 % and 17 %.",
        "adding: the squared error at 200 steps, of 100 to 200 in training. To answer 1 always has 0.167.",
        f"copy: {LENGTH} of {SYMBOLS} symbols after {TASKS['copy'][1][0] - 2 * LENGTH} blanks; the share "
        "that is right, chance 12 %.",
        f"noise: two classes, told in the first three of {TASKS['noise'][1][0]} steps on the line of the noise, "
        "asked for at the last. Chance 50 %.",
        "Solved, in bold: 99 % right, or a squared error of at most 0.01. The last column counts the longest tests.",
        f"Adam, {SHARED['batch_size']} new sequences a batch, a rate of {rate} that falls to zero, for every cell.",
        f"Counted: {seconds:g} s of one thread, at the pace of the quickest tenth of the steps: {min(steps):,} steps "
        f"({slowest}) to {max(steps):,}, {np.median(steps):,.0f} in the median. Not counted: the first step, which "
        f"compiles, {min(first):.1f} to {max(first):.1f} s, and drawing the examples.",
        *(f"Not done yet, {task}: {count} trainings (the json has their names)." for task, count in left.items()),
    ]


def columns() -> list[tuple[str, int]]:
    return [(task, steps) for task, (_, lengths) in TASKS.items() for steps in lengths]


def ranked(told: dict) -> list[tuple[str, dict[str, dict]]]:
    """Each cell with its rows of the first seed by task; who solves most comes first, then who has most right."""
    found = {}
    for cell in CELLS:
        own = {task: told["rows"].get(key_of(task, cell, SEEDS[0])) for task in TASKS}
        found[cell] = {task: row for task, row in own.items() if row}

    def rank(cell: str) -> tuple:
        return -solves(found[cell]), -sum(good(found[cell], *column) or 0 for column in columns()), cell

    return [(cell, found[cell]) for cell in sorted(found, key=rank) if found[cell]]


def solves(own: dict[str, dict]) -> int:
    return sum(row.get("solved", False) for row in own.values())


def good(own: dict[str, dict], task: str, steps: int) -> float | None:
    """How well a cell does, from 0 to 1; None if it is not known."""
    if task not in own:
        return None
    value = own[task].get("found", {}).get(str(steps))
    if value is None:
        return 0.0
    return max(0.0, 1 - 6 * value) if task == "adding" else value


def table(told: dict, least: int = 0) -> list[tuple]:
    """The cells that solve at least so many tasks."""
    head = [f"{task}, {steps}" for task, steps in columns()]
    rows = [("cell", "family", "linear", *head, "solved")]
    for cell, own in ranked(told):
        if solves(own) >= least:
            linear = "yes" if any(row["linear"] for row in own.values()) else ""
            rows.append(
                (
                    cell,
                    FAMILY[cell],
                    linear,
                    *(shown(own.get(task), *(task, steps)) for task, steps in columns()),
                    solves(own),
                )
            )
    return rows


def page(told: dict) -> list[str]:
    """What the page on choosing a cell says of it."""
    cells = ranked(told)
    lines, waiting = [], []
    for task, (_, lengths) in TASKS.items():
        rows = [own[task] for _, own in cells if task in own]
        if not rows:
            waiting.append(task)
            continue
        linear = [row for row in rows if row["linear"]]
        solved, of_linear = (sum(row.get("solved", False) for row in each) for each in (rows, linear))
        lines.append(
            f"- {task}, {lengths[-1]} steps: solved by {solved} of {len(rows)} cells, of the linear ones by "
            f"{of_linear} of {len(linear)}."
        )
    if waiting:
        return [*lines, f"- Not measured yet: {', '.join(waiting)}."]
    least = 3
    _, *seeds = seeds_table(told)
    lucky = [f"`{cell}` {task} with {solved}" for task, cell, *_, solved in seeds if 0 < solved < len(SEEDS)]
    return [
        *lines,
        f"- Each cell ran with one seed, the best {BEST} of each task with {len(SEEDS)}. These solved it with "
        f"some of them: {', '.join(lucky) or 'none'}.",
        "",
        f"The cells that solve at least {least} of the {len(TASKS)} tasks:",
        "",
        *report.table(table(told, least)),
    ]


def shown(row: dict | None, task: str, steps: int) -> str:
    """A result in a table, in bold where it is good enough."""
    if row is None:
        return "not done"
    if "diverged" in row:
        return "diverged"
    recipe, value = TASKS[task][0], row["found"][str(steps)]
    text = f"{value:.4f}" if task == "adding" else f"{100 * value:.1f} %"
    return f"**{text}**" if recipe.sign * value >= recipe.sign * recipe.solved else text


def seeds_table(told: dict) -> list[tuple]:
    rows = [("task", "cell", *(f"seed {seed}" for seed in SEEDS), "solved")]
    for task, (_, lengths) in TASKS.items():
        for cell in best(told["rows"], task):
            each = [told["rows"].get(key_of(task, cell, seed)) for seed in SEEDS]
            solved = sum(row.get("solved", False) for row in each if row)
            rows.append((task, cell, *(shown(row, task, lengths[-1]) for row in each), solved))
    return rows


def picture(told: dict):
    """A figure: cells by the tasks that are begun, dark where a cell does well."""
    cells = ranked(told)
    begun = [column for column in columns() if any(column[0] in own for _, own in cells)]
    solved = []
    for task in dict.fromkeys(task for task, _ in begun):
        rows = [own[task] for _, own in cells if task in own]
        solved.append(f"{task} {sum(row.get('solved', False) for row in rows)}/{len(rows)}")
    shares = np.array([[good(own, *column) for column in begun] for _, own in cells], float)
    texts = [["" if np.isnan(share) else f"{100 * share:.0f}" for share in row] for row in shares]
    figure = style.figure(f"Solved: {', '.join(solved)}", 6, 1.3 + 0.18 * len(cells))
    axes = style.axes(figure)
    style.heat(axes, shares, texts)
    axes.set_title("right answers, % (adding: 100 - 600 x squared error)", fontsize=style.SMALL)
    axes.set_xticks(range(len(begun)), [f"{task}\n{steps}" for task, steps in begun])
    axes.set_xlabel("task, and its steps (* linear in time)")
    names = (cell.removesuffix("Cell") + " *" * any(row["linear"] for row in own.values()) for cell, own in cells)
    axes.set_yticks(range(len(cells)), list(names), fontsize=8)
    return figure
