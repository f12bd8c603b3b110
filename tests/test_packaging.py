"""What a release consists of; .ci/package installs one and tries it."""

import configparser
import pathlib
import re
import subprocess
import sys
import tarfile

import pytest

import tfcells
from setup import FILES, PAGES, absolute

ROOT = pathlib.Path(__file__).parents[1]
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')


def test_links_of_the_readme_are_whole_on_pypi():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [one or other for one, other in LINK.findall(text)]
    local = [link for link in links if not link.startswith(("https://", "#"))]
    assert len(local) > 10 and all((ROOT / link.partition("#")[0]).exists() for link in local)
    whole = [one or other for one, other in LINK.findall(absolute(text))]
    assert len(whole) == len(links) and all(link.startswith(("https://", "#")) for link in whole)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[a](docs/a.md#b)", f"[a]({PAGES}docs/a.md#b)"),
        ("![a](docs/a.png)", f"![a]({FILES}docs/a.png)"),
        ('<img src="docs/a.png" width="3">', f'<img src="{FILES}docs/a.png" width="3">'),
        ("[![a](docs/a.png)](b.md)", f"[![a]({FILES}docs/a.png)]({PAGES}b.md)"),
        ("[a](https://b.c) [d](#e) f[0](x)", f"[a](https://b.c) [d](#e) f[0]({PAGES}x)"),
    ],
)
def test_links_become_whole(text, expected):
    assert absolute(text) == expected


def test_the_version_stands_in_one_place():
    version = tfcells.__version__
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "CITATION.cff"):
        assert version not in (ROOT / name).read_text(encoding="utf-8"), name


def test_the_library_needs_keras_and_numpy_alone():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert [line.split()[0] for line in config["options"]["install_requires"].split("\n") if line] == ["keras", "numpy"]
    extras = {"bench", "docs", "export", "gpu", "jax", "lab", "search", "tensorflow", "test", "torch"}
    assert extras <= set(config["options.extras_require"])


@pytest.mark.slow
def test_the_sdist_holds_what_its_tests_need(tmp_path):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    folders = ".ci", "benchmarks", "data", "docs", "examples", "lab", "notebooks", "recipes", "tests", "tfcells"
    there = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    needed = {path.relative_to(ROOT).as_posix() for path in [*there, *ROOT.glob("[!.]*.*")] if path.is_file()}
    needed = {name for name in needed if not re.search(r"__pycache__|\.pyc$|-partial\.|\.egg-info|checkpoints/", name)}
    assert {"tests/conftest.py", "tests/golden/README.md", "train.py"} <= needed
    assert not needed - found
