"""What setup.cfg can't say: on PyPI, the README's links lead to the repository."""

import pathlib
import re

import setuptools

REPOSITORY = "tfcells/tfcells"
PAGES = f"https://github.com/{REPOSITORY}/blob/main/"
FILES = f"https://raw.githubusercontent.com/{REPOSITORY}/main/"
LINK = re.compile(r"""(!\[[^\]]*\]\(|\]\(|src="|href=")(?![a-z]+:|#)([^)"\s]+)""")


def absolute(text: str) -> str:
    """Markdown whose links are whole addresses: of pages on GitHub, and of pictures the files themselves."""
    pictures = "!", "src"
    return LINK.sub(lambda link: f"{link[1]}{FILES if link[1].startswith(pictures) else PAGES}{link[2]}", text)


if __name__ == "__main__":
    setuptools.setup(long_description=absolute(pathlib.Path("README.md").read_text(encoding="utf-8")))
