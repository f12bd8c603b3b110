"""python notebooks/build.py [NAME ...]: execute the notebooks and write them as .ipynb.

The sources are the .py files beside this one, in the py:percent form of jupytext. A cell that draws says alt="...", for
those who can't see the picture, and may say file="...", where another page shows it. With --small the notebooks are made to
end sooner, and nothing is written: that is what the tests do.
"""

import argparse
import base64
import os
import pathlib
import sys

import jupytext
import nbclient
import nbformat

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = sorted(HERE.glob("[0-9][0-9]_*.py"))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [path.stem for path in SOURCES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all of them")
    parser.add_argument("--small", action="store_true", help="a small setting, nothing written")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"NAME {sorted(unknown)[0]!r}: must be one of {', '.join(names)}")
    for path in SOURCES:
        if options.names and path.stem not in options.names:
            continue
        book = execute(path, small=options.small)
        if not options.small:
            temporary = path.with_suffix(".partial")
            nbformat.write(book, temporary)
            os.replace(temporary, path.with_suffix(".ipynb"))
            for cell in book.cells:
                if "file" in cell.metadata:
                    (HERE / cell.metadata["file"]).write_bytes(base64.b64decode(pictures(cell)[-1]))
        print(f"{path.stem}: {len(book.cells)} cells", flush=True)
    return 0


def read(path: pathlib.Path):
    """A source as a notebook, with the same cell ids whenever it is read."""
    book = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"
        if alt := cell.metadata.pop("alt", None):
            cell.metadata["mystnb"] = {"image": {"alt": alt}}  # where the site looks for it
    return book


def pictures(cell) -> list[str]:
    """The PNGs that a cell put out, in base 64."""
    found = [each.get("data", {}).get("image/png") for each in cell.get("outputs", ())]
    return [each for each in found if each]


def execute(path: pathlib.Path, small: bool):
    """The notebook with what its cells put out; raises nbclient.exceptions.CellExecutionError.

    It runs as in a plain Jupyter: from its own folder, without a PYTHONPATH.
    """
    book = read(path)
    setting = "small" if small else "full"
    environment = os.environ | {"TFCELLS_NOTEBOOKS": setting, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    client = nbclient.NotebookClient(book, timeout=None, kernel_name="python3", coalesce_streams=True)
    client.execute(cwd=str(HERE), env=environment)
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # when it ran: of no use to a reader
        if cell.cell_type == "code":  # nor is what libraries log
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    return book


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
