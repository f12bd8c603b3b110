"""Strings of the embedded Reber grammar (Reber 1967; Hochreiter & Schmidhuber 1997, section 5.1).

    B T <Reber string> T E      or      B P <Reber string> P E

where a Reber string runs through the graph below from B to E, either of two arcs being as likely.
The last symbol but one is the second one again: that has to be remembered all the way.
"""

SYMBOLS = "BTPSXVE"

ARCS = {  # node: its symbols, each with the node that it leads to
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": None},
}


def draw(rng):
    """A random string of the embedded grammar; rng: a numpy.random.Generator.

    >>> import numpy
    >>> draw(numpy.random.default_rng(0))
    'BPBPVPXTTTTVVEPE'
    """
    outer, inner, node = rng.choice(["T", "P"]), "", 0
    while node is not None:
        symbol = rng.choice(list(ARCS[node]))
        inner += symbol
        node = ARCS[node][symbol]
    return f"B{outer}{inner}{outer}E"


def draw_different(rng, count, exclude=()):
    """`count` different strings, none of them in `exclude`, in the order of drawing."""
    seen, found = set(exclude), []
    while len(found) < count:
        string = draw(rng)
        if string not in seen:
            seen.add(string)
            found.append(string)
    return found


def legal(string):
    """For each symbol of a string but the last, the symbols that may come next.

    Raises ValueError if the string is not one of the grammar.

    >>> legal("BPBPTVVEPE")
    ['TP', 'B', 'TP', 'TV', 'TV', 'PV', 'E', 'P', 'E']
    """
    found, node = ["TP", "B"], 0
    for symbol in string[2:-2]:
        if node is None or symbol not in ARCS[node]:
            raise ValueError(f"{string!r} is not of the embedded Reber grammar")
        node = ARCS[node][symbol]
        found.append("".join(ARCS[node]) if node is not None else string[1])
    if node is not None or string[:1] != "B" or string[1:2] not in ("T", "P"):
        raise ValueError(f"{string!r} is not of the embedded Reber grammar")
    if string[-2:] != string[1] + "E":
        raise ValueError(f"{string!r} is not of the embedded Reber grammar")
    return [*found, "E"]
