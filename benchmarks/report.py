"""A result on paper: benchmarks/results/NAME.json and NAME.md."""

import importlib.metadata
import os
import pathlib
import platform

from recipes.run import write_json, write_text

RESULTS = pathlib.Path(__file__).with_name("results")
PACKAGES = ("tensorflow", "keras", "numpy")


def machine() -> dict[str, object]:
    """Where, and with which versions."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def write(name: str, title: str, result: dict, rows: list[tuple]) -> pathlib.Path:
    """Write a result, and in Markdown its table, whose first row is the head; the path of that."""
    RESULTS.mkdir(exist_ok=True)
    where = machine()
    write_json(RESULTS / f"{name}.json", {"machine": where, **result})
    head, *body = (" | ".join(map(str, row)) for row in rows)
    rule = " | ".join("---" for _ in rows[0])
    lines = [f"# {title}", "", *(f"| {line} |" for line in (head, rule, *body)), ""]
    lines.append(", ".join(f"{key} {value}" for key, value in where.items()) + ".")
    path = RESULTS / f"{name}.md"
    write_text(path, "\n".join(lines) + "\n")
    return path
