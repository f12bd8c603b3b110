"""What the site says of classes and functions: docstrings, signatures, facts of the table, who else has a cell.

PYTHONPATH=. python docs/reference.py writes the short tables of the pages, for those who read them on GitHub.
"""

import inspect
import json
import operator
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import docstrings

import tfcells
from benchmarks.__main__ import NAMES as BENCHMARKS
from lab.cells import meaning
from tfcells.contract.configured import Configured

TABLE = {row["name"]: row for row in tfcells.cells.table()}
NAMES = {name for name in tfcells.__all__ if name not in ("__version__", "cells")}
MARK = re.compile(r"(?m)^(.*<!-- (family|table|list): ([\w ]+) -->)$(?:\n(?:\n\|.*)+)?")
SITE = re.compile(r"(?ms)^<!-- (\{[\w-]+\}\n.*?)^-->$(?:\n(?:\n\|[^\n]*)+)?")
ENTRY = re.compile(r"(?m)^\.\. [\w:]+:: tfcells\.([\w.]+)\n(?:\n +(\S.*))?")
REPORT = re.compile(r"\[([^\]]+)\]\(\S*benchmarks/results/([^)\s]+)\)")
UNITS, FEATURES = 12, 6
ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = sorted((ROOT / "docs").rglob("*.md"))

LIBRARIES = {
    "A": "TensorFlow Addons",
    "B": "labml",
    "C": "TensorFlow 1 (contrib)",
    "D": "supercell",
    "E": "memax",
    "F": "FlashRNN",
    "G": "asahi417/LSTMCell",
    "H": "haste",
    "K": "Keras",
    "L": "Flax",
    "M": "lamb",
    "N": "ncps",
    "P": "recurrentshop",
    "Q": "flash-linear-attention",
    "R": "RecurrentLayers.jl",
    "S": "Sonnet",
    "T": "torchrecurrent",
    "V": "SpeechBrain",
    "W": "awd-lstm-lm",
    "X": "xlstm",
    "Z": "the authors' code",
    "*": "most of the others",
}
ELSEWHERE = {
    "ElmanCell": "KCFSLPE",
    "LSTMCell": "K*",
    "OriginalLSTMCell": "TR",
    "PeepholeLSTMCell": "ACTR",
    "GRUCell": "KCFHSLPE",
    "LayerNormLSTMCell": "ACHDGBM",
    "LayerNormGRUCell": "H",
    "LayerNormElmanCell": "A",
    "HyperLSTMCell": "DGB",
    "RHNCell": "ZRPMGB",
    "HighwayStateGateRHNCell": "G",
    "NASCell": "ACTRM",
    "MogrifierLSTMCell": "M",
    "MultiplicativeLSTMCell": "TR",
    "KVPAttention": "G",
    "WindowAttention": "C",
    "Attention": "A",
    "LuongAttention": "A",
    "IndRNNCell": "CHTRE",
    "LayerNormIndRNNCell": "H",
    "IndyLSTMCell": "C",
    "QRNNCell": "WV",
    "SRUCell": "CZ",
    "LRUCell": "E",
    "SLSTMCell": "XF",
    "MLSTMCell": "XQ",
    "MGUCell": "TRLE",
    "MinimalRNNCell": "TR",
    "JANETCell": "TR",
    "LiGRUCell": "TRV",
    "UGRNNCell": "CTR",
    "IntersectionRNNCell": "CTR",
    "CFNCell": "TR",
    "RANCell": "TR",
    "ATRCell": "TR",
    "MUT1Cell": "TR",
    "MUT2Cell": "TR",
    "MUT3Cell": "TR",
    "SCRNCell": "TR",
    "FastRNNCell": "TR",
    "FastGRNNCell": "TR",
    "AntisymmetricRNNCell": "TR",
    "GatedAntisymmetricRNNCell": "TR",
    "CoRNNCell": "TR",
    "LEMCell": "TR",
    "LipschitzRNNCell": "T",
    "BRCCell": "TR",
    "NBRCCell": "TR",
    "STARCell": "TR",
    "PhasedLSTMCell": "C",
    "LightRUCell": "TR",
    "ResidualLSTMCell": "T",
    "EchoStateCell": "A",
    "CfCCell": "N",
    "FastSlow": "R",
    "Multiplicative": "R",
    "Projection": "CS",
    "WeightDrop": "HW",
    "VariationalDropout": "SWM",
    "Zoneout": "H",
    "RecurrentDropout": "M",
    "Residual": "SM",
    "TrainableInitialState": "SMP",
}
"""Who else has it, as far as we know: from their sources, some from memory, none of it run."""


MACHINES: dict[str, dict[str, Any]] = {
    "A": {"processor": "AMD EPYC avx2", "cores": 2, "memory_gb": 25.3},
    "B": {"processor": "AMD EPYC avx2 avx512f avx512_bf16", "cores": 2, "memory_gb": 25.3},
    "C": {"processor": "Intel(R) Xeon(R) Processor avx2 avx512f avx512_bf16 amx_bf16", "cores": 2, "memory_gb": 25.3},
    "D": {"processor": "Intel(R) Xeon(R) Processor avx2 avx512f avx512_bf16 amx_bf16", "cores": 1, "memory_gb": 25.3},
    "E": {
        "processor": "Intel(R) Xeon(R) Processor avx2 avx512f avx512_bf16 amx_bf16",
        "cores": 16,
        "memory_gb": 135.1,
        "gpu": "NVIDIA H200",
    },
}
"""Machines by the letters that pages give them: what reports say of them."""


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Put what the table knows in place of lines with marks: <!-- family: LSTM -->, <!-- table: cell -->.

    These lines, and the tables below them, are for those who read the page on GitHub: `plain` makes them. So are the
    tables below comments that hold a directive, <!-- {eval-rst} ... -->. A report that is still to be made is no link.
    """
    text = REPORT.sub(lambda link: link[0] if (RESULTS / link[2]).exists() else link[1], source[0])
    text = MARK.sub(lambda mark: "\n".join(filled(mark[2], mark[3])), text)
    text = SITE.sub(lambda hidden: f"```{hidden[1]}```", text)
    source[0] = text.replace("<!-- orphan -->\n", "---\norphan: true\n---\n")


def filled(kind: str, name: str) -> Iterator[str]:
    """What stands in place of a mark."""
    if kind == "list":
        return LISTS[name]()
    return {"family": family, "table": listed}[kind](name)


def family(name: str) -> Iterator[str]:
    """A section for each class."""
    for row in TABLE.values():
        if row["family"] == name:
            yield f"## {row['name']}\n\n```{{eval-rst}}\n.. autoclass:: tfcells.{row['name']}\n```\n"


def listed(kind: str) -> Iterator[str]:
    """All of a kind, in a table."""
    yield "| name | family | paper | states | all steps at once |\n|---|---|---|---|---|"
    for row in TABLE.values():
        if row["kind"] == kind:
            states = ", ".join(row["states"])
            parallel = "yes" if row["runs"] == "parallel" else ""
            yield f"| {{py:class}}`~tfcells.{row['name']}` | {row['family']} | {paper(row)} | {states} | {parallel} |"


def paper(row: dict[str, Any]) -> str:
    return re.sub(docstrings.PAPER, r"[\1](https://arxiv.org/abs/\1)", row["paper"].replace("none", ""))


def plain(page: pathlib.Path) -> str:
    """The text of a page, with short tables in Markdown below its marks and its hidden directives."""
    text, folder = page.read_text(encoding="utf-8"), page.parent
    text = MARK.sub(lambda mark: below(mark[1], brief(folder, mark[2], mark[3])), text)
    return SITE.sub(lambda hidden: below(f"<!-- {hidden[1]}-->", described(folder, hidden[1])), text)


def below(mark: str, table: list[str]) -> str:
    return "\n\n".join([mark, "\n".join(table)] if table else [mark])


def brief(folder: pathlib.Path, kind: str, name: str) -> list[str]:
    """A table of a family's classes, of the families of a kind, or of a list, with links from a folder."""
    if kind == "list":
        return [line for line in LISTS[name]() if line.startswith("|")]
    if kind == "family":
        lines = ["| class | one line | paper |", "|---|---|---|"]
        for row in TABLE.values():
            if row["family"] == name:
                shown = link(f"`{row['name']}`", ROOT / f"{row['module'].replace('.', '/')}.py", folder)
                lines.append(f"| {shown} | {summary(row['class'])} | {paper(row)} |")
        return lines
    lines = ["| family | classes |", "|---|---|"]
    for each in dict.fromkeys(row["family"] for row in TABLE.values() if row["kind"] == name):
        classes = (f"`{row['name']}`" for row in TABLE.values() if row["family"] == each)
        lines.append(f"| {link(each, home(each), folder)} | {', '.join(classes)} |")
    return lines


def described(folder: pathlib.Path, directive: str) -> list[str]:
    """A table of the classes and functions that a directive names; none of a menu's."""
    lines = []
    for name, told in ENTRY.findall(directive):
        if told:  # of a constant
            lines.append(f"| `{name}` | {told.rstrip('.')} |")
            continue
        thing = operator.attrgetter(name)(tfcells)
        path = pathlib.Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").relative_to(ROOT)
        lines.append(f"| {link(f'`{name}`', ROOT / path, folder)} | {summary(thing)} |")
    return ["| name | one line |", "|---|---|", *lines] if lines else []


def link(text: str, path: pathlib.Path, folder: pathlib.Path) -> str:
    return f"[{text}]({pathlib.Path(os.path.relpath(path, folder)).as_posix()})"


def summary(thing: Any) -> str:
    """The first sentence of a docstring, without what explains it."""
    return re.split(r"(?<=[^.])\.(?: |$)|: |, where", " ".join(thing.__doc__.split()))[0]


def home(family: str) -> pathlib.Path:
    """The page of a family."""
    (page,) = (page for page in PAGES if f"<!-- family: {family} -->" in page.read_text(encoding="utf-8"))
    return page


def notebooks() -> Iterator[str]:
    """All notebooks by their titles, in a table and in the menu."""
    yield "| notebook | title | you learn | takes |\n|---|---|---|---|"
    names = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title = first.splitlines()[0].strip("# ")
        learn, takes = (
            " ".join(re.search(rf"\*\*{word}\*\* (.*?)\.\s", first, re.S)[1].split()) for word in ("You learn", "Takes")
        )
        names.append(f"../notebooks/{path.stem}")
        yield f"| [{path.stem}](../notebooks/{path.name}) | {title} | {learn} | {takes} |"
    yield "\n".join(["", "```{toctree}", ":hidden:", "", *names, "```"])


def programs() -> Iterator[str]:
    """The example programs, each below a heading."""
    for path in sorted((ROOT / "examples").glob("*.py")):
        yield f"## {path.stem}\n\n```{{literalinclude}} ../examples/{path.name}\n```\n"


def reports() -> Iterator[str]:
    """All reports of the benchmarks, in a table and in the menu."""
    paths = [path for path in RESULTS.glob("*.md") if not path.stem.endswith("-partial")]
    titles = {path.stem: path.read_text(encoding="utf-8").splitlines()[0].strip("# ") for path in paths}
    measures = {name: what for name, (what, _) in BENCHMARKS.items() if name in titles}
    measures |= {name: title for name, title in sorted(titles.items()) if name not in measures}
    yield "| report | measures | machine |\n|---|---|---|"
    for name, what in measures.items():
        yield f"| [{name}](../benchmarks/results/{name}.md) | {what} | {letter(name)} |"
    menu = [f"{name} <../benchmarks/results/{name}>" for name in measures]
    yield "\n".join(["", "```{toctree}", ":hidden:", "", *menu, "notes <../benchmarks/NOTES>", "```"])


def letter(report: str) -> str:
    """That of the machine on which a report was made."""
    made = json.loads((RESULTS / f"{report}.json").read_text(encoding="utf-8"))["machine"]
    for name, machine in MACHINES.items():
        if all(made.get(fact) == machine.get(fact) for fact in ("processor", "cores", "memory_gb", "gpu")):
            return name
    raise ValueError(f"{report}.json: give its machine a letter in docs/reference.py")


def machines() -> Iterator[str]:
    """All machines by their letters."""
    yield "| machine | processor | cores | memory, GB | GPU |\n|---|---|---|---|---|"
    for name, machine in MACHINES.items():
        rest = machine["memory_gb"], machine.get("gpu", "none")
        yield "| " + " | ".join(map(str, (name, machine["processor"], machine["cores"], *rest))) + " |"


LISTS = {"reports": reports, "notebooks": notebooks, "programs": programs, "machines": machines}


def sign(app: Any, what: str, name: str, made: Any, options: Any, signature: Any, returns: Any) -> Any:
    """The signature of a cell, wrapper or layer with the arguments of its bases, its own ones first."""
    if not (inspect.isclass(made) and issubclass(made, Configured)):
        return None
    *named, _ = inspect.signature(made).parameters.values()
    return f"({', '.join(map(shown, named))})", None


def shown(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"


def describe(app: Any, what: str, name: str, made: Any, options: Any, lines: list[str]) -> None:
    """Typeset a docstring; below that of a cell or wrapper, the facts of the table."""
    configured = inspect.isclass(made) and issubclass(made, Configured)
    own = {"name", *inspect.signature(made).parameters}
    if configured:
        own |= inspect.signature(made.call).parameters.keys()
    typeset = docstrings.restructured(lines, own, NAMES)
    if configured:
        typeset += ["", *inherited(made), ""]
    row = TABLE.get(getattr(made, "__name__", ""))
    lines[:] = typeset + (["", *facts(row), ""] if row and row["class"] is made else [])


def inherited(made: Any) -> Iterator[str]:
    """Where the other arguments are described; what those of a base without a page of its own mean."""
    owners: dict[type, list[str]] = {}
    for name, owner in made.arguments().items():
        if owner is not made and name not in ("units", "cell"):
            owners.setdefault(owner, []).append(f"``{name}``")
    for owner, names in owners.items():
        if getattr(tfcells, owner.__name__, None) is owner:
            yield f"| As in :class:`~tfcells.{owner.__name__}`: {', '.join(names)}."
        elif owner.__module__.startswith("tfcells"):
            yield from (f"| {name}: {meaning(made.__name__, name.strip('`'))}." for name in names)
        else:
            yield f"| As in Keras's ``{owner.__name__}``: {', '.join(names)}."


def facts(row: dict[str, Any]) -> Iterator[str]:
    """Shapes, size and relations, as a list of fields."""
    cell, features = built(row)
    weights = [f"``{weight.name}`` {tuple(weight.shape)}" for weight in cell.weights if "seed" not in weight.name]
    states = [f"{state} {size(width)}" for state, width in zip(row["states"], cell.state_size, strict=True)]
    around = " around ``LSTMCell(12)``" if row["kind"] == "wrapper" else ""
    yield f":Shapes: of {UNITS} units{around}, for {features} features"
    yield f":Output: (batch, {cell.output_size}) at each step"
    yield f":States: {', '.join(states)}"
    yield f":Weights: {', '.join(weights) or 'none'}"
    yield f":Parameters: :math:`{docstrings.formula(row['parameters'])}`, of n units for d features"
    yield f":Steps: {'all at once' if row['runs'] == 'parallel' else 'one after the other'}"
    if row["kind"] == "cell":
        yield f":Noise: {', '.join(noise(row)) or 'none'}"
    if others := ELSEWHERE.get(row["name"]):
        yield f":Also in: {', '.join(LIBRARIES[letter] for letter in others)}"


def noise(row: dict[str, Any]) -> Iterator[str]:
    """The wrappers that draw masks and can go around the cell."""
    needs = {"VariationalDropout": "kernel", "RecurrentDropout": "update", "Zoneout": "state", "WeightDrop": "kernel"}
    return (f":class:`~tfcells.{name}`" for name, slot in needs.items() if slot in row["slots"])


def size(width: Any) -> str:
    sizes = tuple(width) if isinstance(width, tuple | list) else (width,)
    return f"(batch, {', '.join(map(str, sizes))})"


def built(row: dict[str, Any]) -> tuple[Any, int]:
    """An example of a class, and how many features it has been built for."""
    signature = inspect.signature(row["class"]).parameters.values()
    given = {
        p.name: 3 if p.annotation is int else 0.5
        for p in signature
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    }
    given |= {"units": UNITS} if row["kind"] == "cell" else {"cell": tfcells.LSTMCell(UNITS)}
    for features in FEATURES, UNITS:
        cell = row["class"](**given)
        try:
            cell.build((None, features))
        except ValueError:  # the input must be as wide as the output
            continue
        return cell, features
    raise ValueError(f"{row['name']} can't be built for {FEATURES} or {UNITS} features")


def check(app: Any, error: Any) -> None:
    """Everything public has its place, and no other library has what we have not."""
    assert ELSEWHERE.keys() <= TABLE.keys(), ELSEWHERE.keys() - TABLE.keys()
    there = {name for name, *_ in app.env.get_domain("py").get_objects()}
    missing = {name for name in NAMES if f"tfcells.{name}" not in there}
    if not error and missing - set(tfcells.RENAMED):
        raise RuntimeError(f"not on the site: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    from benchmarks import abilities, contest, league

    for page in PAGES:
        page.write_text(plain(page), encoding="utf-8")
    for name, each in {"league": league, "abilities": abilities}.items():
        contest.tell(name, each.page(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))))
