"""How Sphinx builds the documentation: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Offhook"
author = "the Offhook authors"
copyright = author  # noqa: A001 -- the name that Sphinx reads

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "tables"]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = "Offhook"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Events", "params_style")]  # what handlers can be set for

# References are checked (-n). What is not in the reference is not linked: the standard library,
# others' packages (a build needs nothing from outside), what authors do not import.
nitpick_ignore_regex = [(r"py:.*", r"(?!offhook\.kit).*"), (r"py:.*", r"offhook\.kit\.runtime\..*")]
