"""The programs of examples/, whole: their scores beside those of their baselines, and the processor time."""

import argparse
import importlib
import time

from benchmarks import report
from benchmarks.processes import ROOT, in_a_fresh_process


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser(prog="python -m benchmarks examples", description=__doc__).parse_args(arguments)
    found = {path.stem: in_a_fresh_process(run, path.stem) for path in sorted((ROOT / "examples").glob("*.py"))}
    rows = [("program", "scores", "processor s")]
    for name, each in found.items():
        scores = ", ".join(f"{what} {score:.3f}" for what, score in each["scores"].items())
        rows.append((name, scores, f"{each['processor_seconds']:.0f}"))
    notes = [
        "Scores: of forecast the error, of generate bits per character, else the share that is right.",
        "Processor time without imports, each program in a process of its own.",
    ]
    path = report.write("examples", "The example programs", {"programs": found}, rows, notes=notes)
    print(path.read_text(encoding="utf-8"), path, sep="\n")
    return 0


def run(name: str) -> dict:
    """For a fresh process."""
    program = importlib.import_module(f"examples.{name}")
    started = time.process_time()
    scores = {what: float(score) for what, score in program.main().items()}
    return {"scores": scores, "processor_seconds": time.process_time() - started}
