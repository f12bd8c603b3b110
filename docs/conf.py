"""The site: `.ci/docs` builds it into build/site, from this folder, the notebooks and the reports."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}

import reference  # noqa: E402

import tfcells  # noqa: E402

project, author, release = "tfcells", "the tfcells authors", tfcells.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]

# The source is the whole repository, so that links between files are those of the repository, too.
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "benchmarks/NOTES.md", "benchmarks/results/*.md", "C*.md"]
exclude_patterns = ["docs/*.py"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "off"
nitpicky = True

autodoc_typehints = "none"
add_module_names = False
toc_object_entries = False

html_theme = "furo"
pygments_dark_style = "monokai"
html_title = "tfcells"
html_extra_path = ["redirect"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = html_show_copyright = False
smartquotes = False  # norm="gate" is code


def setup(app):
    app.connect("source-read", reference.fill)
    app.connect("autodoc-process-signature", reference.sign)
    app.connect("autodoc-process-docstring", reference.describe)
    app.connect("build-finished", reference.check)
