"""Configuration of Sphinx; ``tox -e docs`` builds, and any warning is an error."""

from importlib.metadata import version as distribution_version

project = "pytest-forkiso"
author = "pytest-forkiso contributors"
project_copyright = f"2026, {author}"
release = distribution_version("pytest-forkiso")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "adr/template.md"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = project
