"""Half precision: what mixed_bfloat16 does to the loss and the speed of Zaremba's medium model.

From the same weights, on the same batches: the mean loss of the first steps in bfloat16 beside that in
float32. How fast it is depends on the processor: without instructions for bfloat16 it is slow.
"""

from benchmarks import report
from benchmarks.engines import given, train

POLICIES = "float32", "mixed_bfloat16"
STEPS, LIMIT = 300, 0.01


def main(arguments: list[str]) -> int:
    """Run both, write the report; 1 if the losses are further apart than they may be."""
    line, recipe, settings, data = given("half", __doc__, "lstm --size medium --corpus ptb", arguments)
    losses, speeds = {}, {}
    for policy in POLICIES:
        run = settings | {"engine": "graph", "precision": policy}
        losses[policy], speeds[policy] = train(recipe, data, run, STEPS)
        print(f"{policy}: {losses[policy].mean():.4f}, {speeds[policy]:,.0f} words/s", flush=True)
    means = {policy: float(each.mean()) for policy, each in losses.items()}
    single, half = (means[policy] for policy in POLICIES)
    apart = abs(half - single) / single
    result = {
        "command": line,
        "apart": apart,
        "limit": LIMIT,
        "words_per_second": speeds,
        "losses": {policy: each.tolist() for policy, each in losses.items()},
    }
    rows = [("policy", "words/s", f"mean loss of {STEPS} steps")]
    rows += [(policy, f"{speeds[policy]:,.0f}", f"{means[policy]:.4f}") for policy in POLICIES]
    title = f"`train.py {line}` in half precision: mean losses {apart:.2%} apart"
    print(title, report.write("half", title, result, rows), sep="\n")
    return 1 if not apart <= LIMIT else 0
