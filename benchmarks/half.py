"""Half precision: what mixed_bfloat16 does to the loss and the speed of Zaremba's medium model.

From the same weights, on the same batches, with the same masks: the mean loss of the first steps in
bfloat16 beside that in float32. How fast it is depends on the processor: without instructions for
bfloat16 it is slow.
"""

import argparse

from benchmarks import report
from benchmarks.engines import train
from recipes.options import parse, settle

POLICIES = "float32", "mixed_bfloat16"
STEPS, LIMIT = 300, 0.01


def main(arguments: list[str]) -> int:
    """Run both, write the report; 1 if the losses are further apart than they may be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks half", description=__doc__)
    parser.add_argument("--data_dir", default=None, help="a folder with Penn Treebank")
    line = "lstm --size medium --corpus ptb"
    parser.add_argument("--line", default=line, help=f"what train.py would be given; {line}")
    options = parser.parse_args(arguments)
    recipe, settings, _ = settle(*parse(options.line.split()))
    data = recipe.load(settings["corpus"], options.data_dir or settings["data_dir"])

    losses, speeds = {}, {}
    for policy in POLICIES:
        run = settings | {"engine": "graph", "precision": policy}
        losses[policy], speeds[policy] = train(recipe, data, run, STEPS)
        print(f"{policy}: {losses[policy].mean():.4f}, {speeds[policy]:,.0f} words/s", flush=True)
    means = {policy: float(each.mean()) for policy, each in losses.items()}
    single, half = (means[policy] for policy in POLICIES)
    apart = abs(half - single) / single
    result = {
        "command": options.line,
        "apart": apart,
        "limit": LIMIT,
        "words_per_second": speeds,
        "losses": {policy: each.tolist() for policy, each in losses.items()},
    }
    rows = [("policy", "words/s", f"mean loss of {STEPS} steps")]
    rows += [(policy, f"{speeds[policy]:,.0f}", f"{means[policy]:.4f}") for policy in POLICIES]
    title = f"`train.py {options.line}` in half precision: mean losses {apart:.2%} apart"
    print(title, report.write("half", title, result, rows), sep="\n")
    return 1 if not apart <= LIMIT else 0
