"""The setup cell of each notebook, as if Colab ran it, and all its imports.

python colab.py NOTEBOOK ..., in an empty folder.
"""

import ast
import json
import pathlib
import sys
import types

sys.modules["google.colab"] = types.ModuleType("google.colab")
code = []
for name in sys.argv[1:]:
    cells = json.loads(pathlib.Path(name).read_text(encoding="utf-8"))["cells"]
    code.append(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"])
sys.path.pop(0)  # of this file: a notebook has none
for setup in dict.fromkeys(cells[0] for cells in code):
    exec(setup, {})
for name, cells in zip(sys.argv[1:], code, strict=True):
    body = ast.parse("\n".join(line for cell in cells[1:] for line in cell.splitlines() if line[:1] not in "%!")).body
    imports = [each for each in body if isinstance(each, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), name, "exec"), {})
    print(f"{name}: {len(imports)} imports")
