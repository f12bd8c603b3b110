"""What train.py --list shows: all targets, cells and wrappers, or all about a target."""

from lab.cells import KINDS, TABLE, check_target
from lab.fields import Hint, written
from lab.recipe import Targets, fields, meanings, with_defaults

DEMO = "A trained model comes along: python train.py generate demo"
NOTE = (
    "published, own: validation / test perplexity; of characters, bits per character\n"
    "parameters of a network of words: with 10,000 of them; pydoc, the text of the quick sizes, has fewer"
)


def listing(target: str | None, targets: Targets) -> str:
    """The lines for one target, or for all."""
    if target is None:
        return table(targets)
    check_target(target, targets)
    return described(target, targets)


def table(targets: Targets) -> str:
    """Targets with their sizes, then cells and wrappers, in lines and columns."""
    rows: list[tuple[str, ...]] = [("target", "size", "parameters", "published", "own", "paper")]
    for target, sizes in targets.items():
        for size, entry in sizes.items():
            count = f"{entry.parameters:,}"
            rows.append((target, size, count, entry.published, entry.own, entry.paper))
    parts = [columns(rows), NOTE, DEMO]
    for kind in KINDS:
        rows = [(f"--{kind}", "family", "year", "paper")]
        rows += [(r.name, r.family, str(r.year), r.paper) for r in TABLE.values() if r.kind == kind]
        parts.append(columns(rows))
    return "\n\n".join(parts)


def described(target: str, targets: Targets) -> str:
    """The sizes of a target, with their scores and sources, and the fields of their recipes."""
    sizes = targets[target]
    rows: list[tuple[str, ...]] = [("size", "parameters", "published", "own", "paper", "source")]
    rows += [(n, f"{s.parameters:,}", s.published, s.own, s.paper, s.source) for n, s in sizes.items()]
    said: dict[str, str] = {}
    names: dict[str, Hint] = {}
    for size in sizes.values():
        said |= meanings(type(size.recipe), size.recipe.values())
        names |= fields(size.recipe)
    values = [with_defaults(size.recipe.values()) for size in sizes.values()]
    table: list[tuple[str, ...]] = [("field", *sizes, "meaning")]
    for name in names:
        table.append((name, *(written(each[name]) if name in each else "" for each in values), said[name]))
    scored = any(size.published or size.own for size in sizes.values())
    return "\n\n".join([columns(rows), *[NOTE] * scored, columns(table)])


def columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([text.ljust(n) for text, n in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)
