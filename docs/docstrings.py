"""Docstrings for the site: their equations are typeset, their arguments stand apart, their names are links.

A docstring has plain text, as `help` shows it: h' = s(o) tanh(c'). What reads like an equation becomes LaTeX.
"""

import re
from collections.abc import Collection, Iterator

GREEK = "alpha beta gamma delta epsilon eta nu pi theta zeta".split()
FUNCTIONS = "exp log max min tanh".split()
UPRIGHT = (
    "LN LSTM RHN Re Im activation cumax relu sigmoid sign silu softmax softplus "
    "decay dt features gain heads leak mean new old radius rate shift state steps units var sum"
).split()
SIGNS = {
    "<-": r"\leftarrow",
    "<=": r"\le",
    ">=": r"\ge",
    "..": r"\ldots",
    "...": r"\ldots",
    ".": r"\cdot",
    "*": r"\odot",
}
INDEX = r"(?:_(?P<below>\{[^}]+\}|\([^)]+\)|[A-Za-z0-9]+))?"
WORD = rf"(?P<hat>(?<![\w)'\]])\^)?(?P<name>[A-Za-z]+)(?P<prime>'?){INDEX}(?P<after>'?)"
TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d+(?:,\d{{3}})*(?:\.\d+)?)|(?P<word>{WORD})(?![\w\"])"
    r"|(?P<sign><-|<=|>=|\.\.\.?|[+*/=<>()\[\]|,;]|(?<![A-Za-z])-|-(?![A-Za-z])|(?<= )\.(?= \w)|(?<=[\w)'])\^))"
)
PAPER = r"\b(\d{4}\.\d{4,5})\b"
GENERAL = r"(?:States?|Source|Weights|Kernels? |The\s+candidates?,|The rest is|Departs )"


def mathematical(match: re.Match[str]) -> bool:
    """Whether a token may be part of an equation: a letter, a number, a sign, a function that is known."""
    name = match["name"]
    known = (*GREEK, *FUNCTIONS, *UPRIGHT, "mod", "sqrt")
    return not name or len(name) == 1 or name in known or bool(match["below"])  # open_ratio is an argument


def runs(text: str) -> Iterator[tuple[int, int]]:
    """Where there is something to typeset: equations, one after another, or a term, or a letter with an index."""
    place = 0
    while place < len(text):
        first, tokens = place, []
        while (match := TOKEN.match(text, place)) and match.end() > place and mathematical(match):
            tokens.append(match)
            place = match.end()
        if len(tokens) > 2 and tokens[-2]["sign"] == "," and re.match(r", \w\s+\w", text[tokens[-2].start() :]):
            tokens = tokens[:-2]  # "..., a third": the article
        for part in sentences(tokens):
            yield part[0].start() + len(part[0][0]) - len(part[0][0].lstrip()), part[-1].end()
        if place == first:
            skipped = re.compile(r"\s*(?:\w+'?\w*|\W)").match(text, place)
            place = skipped.end() if skipped else len(text)


def sentences(tokens: list[re.Match[str]]) -> Iterator[list[re.Match[str]]]:
    """What is said between semicolons: equations together, else terms, else marked letters one by one."""
    equations: list[re.Match[str]] = []
    for last, part in separated(tokens):
        part = trimmed(part)
        signs = {token["sign"] for token in part}
        if signs & {"=", "<-"}:
            equations += [*last, *part] if equations else part
            continue
        if equations:
            yield equations
            equations = []
        letters = [token for token in part if token["word"]]
        summed = [token for token in letters if token["name"] == "sum"]
        called = [one for one, two in zip(part, part[1:]) if one["word"] and two[0] == "("]
        if letters and len(part) > 2 and (summed or called or signs & {"+", "-", "/", "*", "^", "<", ">"}):
            yield part
        else:
            yield from (
                [t] for t in letters if len(t["name"]) == 1 and (t["prime"] or t["after"] or t["below"] or t["hat"])
            )
    if equations:
        yield equations


def separated(tokens: list[re.Match[str]]) -> Iterator[tuple[list[re.Match[str]], list[re.Match[str]]]]:
    """The stretches between semicolons, each with the one before it."""
    before: list[re.Match[str]] = []
    part: list[re.Match[str]] = []
    for token in tokens:
        if token["sign"] == ";":
            yield before, part
            before, part = [token], []
        else:
            part.append(token)
    yield before, part


def trimmed(tokens: list[re.Match[str]]) -> list[re.Match[str]]:
    """Without signs at its ends that belong to the sentence, or to no pair."""
    while tokens and tokens[-1]["sign"] and tokens[-1]["sign"] not in (")", "]", "|", "..."):
        tokens = tokens[:-1]
    while tokens and tokens[0]["sign"] and tokens[0]["sign"] not in ("(", "[", "|", "-"):
        tokens = tokens[1:]
    depth = 0
    for number, token in enumerate(tokens):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token["sign"] or "", 0)
        if depth < 0:  # the sentence's
            return trimmed(tokens[:number])
    return (
        tokens
        if depth == 0
        else trimmed(tokens[next(n for n, t in enumerate(tokens) if t["sign"] in ("(", "[")) + 1 :])
    )


def latex(text: str) -> str:
    """An equation in LaTeX: c' = s(f) c becomes c' = \\sigma(f)\\, c."""
    out: list[str] = []
    before, place = False, 0  # whether an operand stands before
    while match := TOKEN.match(text, place):
        apart = match[0][:1].isspace()
        place = match.end()
        if match["number"]:
            piece = match["number"].replace(",", "{,}")
        elif match["word"]:
            piece = symbol(match, call=text[place : place + 1] == "(")
        else:
            piece = SIGNS.get(match["sign"], match["sign"])
        if match["sign"] == "^" and text.startswith("-1", place):
            piece, place = "^{-1}", place + 2
        elif match["sign"] == "^" or piece == r"\sqrt":
            piece, place = grouped(piece, text, place)
        operand = match["word"] or match["number"]
        space = r" \quad " if match[0].startswith("  ") else r"\,"
        out.append((space if apart and before and (operand or match["sign"] in ("(", "[")) else " ") + piece)
        before = operand or match["sign"] in (")", "]", "^")
    return re.sub(r" (?=[)\],;])|(?<=[(\[]) ", "", "".join(out).strip())


def symbol(match: re.Match[str], call: bool) -> str:
    """A name with its hat, prime and subscript; `call` if parentheses follow at once."""
    name = match["name"]
    if name == "sum":
        return rf"\sum_{match['below']}"
    if match["below"] and len(name) > 1 and name not in GREEK:
        return rf"\mathrm{{{name}\_{match['below']}}}"
    if name == "s" and call:
        name = r"\sigma"
    elif name in (*GREEK, *FUNCTIONS, "sqrt"):
        name = rf"\{name}"
    elif len(name) > 1:
        name = rf"\operatorname{{{name}}}" if call else rf"\mathrm{{{name}}}"
    if match["hat"]:
        name = rf"\hat{{{name}}}"
    below = (match["below"] or "").strip("{}()")
    below = rf"\{below}" if below in GREEK else below
    return name + match["prime"] + match["after"] + (f"_{{{below}}}" if below else "")


def grouped(piece: str, text: str, place: int) -> tuple[str, int]:
    """A root or a power with what it takes: (...) or the next token."""
    if text[place : place + 1] == "(":
        depth, end = 0, place
        for end in range(place, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0:
                break
        return f"{piece}{{{latex(text[place + 1 : end])}}}", end + 1
    match = TOKEN.match(text, place)
    assert match, text
    inner = r"\top" if match[0] == "T" else latex(match[0])
    return f"{piece}{{{inner}}}", match.end()


def formula(expression: str) -> str:
    """A count of parameters in LaTeX: 4*n*(d + n + 1) becomes 4 n (d + n + 1)."""
    text = re.sub(r"([A-Za-z]\w+)", r"\\mathrm{\1}", expression)
    return text.replace("_", r"\_").replace("//", "/").replace("*", r"\,")


def display(text: str) -> list[str]:
    """Equations that stand apart, one a line, aligned where they say what is what."""
    rows = [latex(part) for part in re.split(r";\s*", text) if part.strip()]
    if len(rows) > 1:
        rows = [re.sub(r"( = | \\leftarrow )", lambda sign: f" &{sign[0].lstrip()}", row, count=1) for row in rows]
    return ["", ".. math::", "", *(f"   {row}" + (r" \\" if row is not rows[-1] else "") for row in rows), ""]


def inline(text: str, names: Collection[str]) -> str:
    """A sentence in reStructuredText: code, links to classes and papers, formulas."""
    out = ""
    for number, part in enumerate(text.split("`")):
        if number % 2:
            out = joined(out, f":class:`~tfcells.{part}`" if part in names else f"``{part}``")
            continue
        place = 0
        for start, end in runs(part):
            out = joined(joined(out, plain(part[place:start])), f":math:`{latex(part[start:end])}`")
            place = end
        out = joined(out, plain(part[place:]))
    return out


def joined(before: str, after: str) -> str:
    """Both, with what markup needs between itself and a letter or a parenthesis."""
    begins = after.startswith((":class:", ":math:", "``")) and re.search(r"[^\s'\"(\[{<\-/:]$", before)
    ends = before.endswith("`") and re.match(r"[^\s'\")\]}>\-/\\:.,;!?]", after)
    return before + ("\\ " if begins or ends else "") + after


def plain(text: str) -> str:
    text = re.sub(r"([\\*|_`])", r"\\\1", text)
    return re.sub(PAPER, r"`\1 <https://arxiv.org/abs/\1>`__", text)


def restructured(lines: list[str], arguments: Collection[str], names: Collection[str]) -> list[str]:
    """A docstring in reStructuredText.

    arguments: names that begin a paragraph of their own, "name: ...". names: the public ones, which become links.
    """
    out: list[str] = []
    text = re.sub(r"[;,](?:\s+then)?[ ]*\n\s*\n", "; ", "\n".join(lines))  # equations that go on
    for block in re.split(r"\n\s*\n", text):
        if block.lstrip().startswith(">>>"):
            out += ["", *block.splitlines(), ""]
        elif block.strip():
            for part in parts(block, arguments):
                out += ["", *paragraph(part, names), ""]
    return out


def parts(block: str, arguments: Collection[str]) -> list[str]:
    """A paragraph, cut where the text turns to an argument, the states or the source."""
    names = "|".join(map(re.escape, sorted(arguments))) or "(?!)"
    item = rf"(?:{names})(?:=\S+)?(?:,\s+(?:and )?_?\w+)*:\s"
    cut = re.compile(rf"(?m)^\s*(?={item})|(?<=[^.][.)])\s+(?={item}|{GENERAL})")
    return [re.sub(r"\n\s*", " ", part) for part in cut.split(block) if part.strip()]


def paragraph(text: str, names: Collection[str]) -> list[str]:
    """Equations of some length stand apart, but not in what is said of an argument."""
    head = re.match(r"(\w+(?:=\S+)?(?:, (?:and )?\w+)*):\s+", text)
    if head and not text.startswith(("State", "Source")):
        return [f"**{plain(head[1])}**: {inline(text[head.end() :], names)}"]
    out, place, sentence = [], 0, ""
    for start, end in runs(text):
        if "`" in text and text[:start].count("`") % 2:
            continue
        leads = not text[place:start].strip() or text[:start].rstrip().endswith((":", "."))
        nested = text[:start].count("(") > text[:start].count(")")
        if nested or end - start < (8 if leads else 24) or not re.search(r"=|<-", text[start:end]):
            continue
        sentence = text[place:start].strip()
        out += [inline(sentence.rstrip(";"), names)] if sentence.strip(" ,.;") else []
        out += display(text[start:end])
        place = end + (text[end : end + 1] in tuple(".;,:"))
    rest = text[place:].strip().rstrip(";")
    return [*out, inline(rest, names)] if rest else out
