"""A result on paper: benchmarks/results/NAME.json and NAME.md."""

import importlib.metadata
import json
import os
import pathlib
import platform
import sys

from lab import style
from lab.run import write_json, write_text

RESULTS = pathlib.Path(__file__).with_name("results")
PACKAGES = ("tensorflow", "keras", "numpy", "torch")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine() -> dict[str, object]:
    """Where, and with which versions."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        **({"gpu": gpu_name()} if gpu() else {}),
        "cores": cores(),
        "memory_gb": round(memory / 1e9, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def gpu() -> bool:
    """Whether TensorFlow, if it is loaded, has a GPU."""
    tensorflow = sys.modules.get("tensorflow")
    return bool(tensorflow and tensorflow.config.list_physical_devices("GPU"))


def gpu_name() -> str:
    import tensorflow as tf

    [first, *_] = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(first)["device_name"]


def wait():
    """Until the GPU, if there is one, has done what it was given."""
    if gpu():
        sys.modules["tensorflow"].test.experimental.sync_devices()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> str:
    """Its name, and which of INSTRUCTIONS it has."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    lines = (line.partition(":") for line in text.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in lines}
    flags = facts.get("flags", "").split()
    name = facts.get("model name", platform.processor())
    return " ".join([name, *(flag for flag in INSTRUCTIONS if flag in flags)])


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def write(name: str, title: str, result: dict, rows: list[tuple], more=None, notes=(), picture=None, where=None):
    """Write a result, and in Markdown its table, whose first row is the head; the path of that.

    more: further tables by their headings. notes: sentences below. picture: a function for `draw`. where: the
    `machine` that measured, by default this one.
    """
    RESULTS.mkdir(exist_ok=True)
    where = where or machine()
    write_json(RESULTS / f"{name}.json", {"machine": where, **result})
    lines = [f"# {title}", "", *table(rows), ""]
    for heading, others in (more or {}).items():
        lines += [f"## {heading}", "", *table(others), ""]
    lines += [f"- {note}" for note in notes]
    lines += [""] if notes else []
    lines.append(", ".join(f"{key} {value}" for key, value in where.items()) + ".")
    path = RESULTS / f"{name}.md"
    write_text(path, "\n".join(lines) + "\n")
    if picture:
        draw(name, picture)
    return path


def draw(name: str, picture) -> pathlib.Path:
    """Draw a report anew: `picture` makes a figure, or none, of what its JSON has besides the machine."""
    path = RESULTS / f"{name}.png"
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    del told["machine"]
    if figure := picture(told):
        style.save(figure, path)
    return path


def table(rows: list[tuple]) -> list[str]:
    head, *body = (" | ".join(map(str, row)) for row in rows)
    rule = " | ".join("---" for _ in rows[0])
    return [f"| {line} |" for line in (head, rule, *body)]
