"""How Sphinx builds the site; `tools/build-docs` calls it."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from he_fsm import __version__

project = "he_fsm"
author = ""
copyright = ""  # noqa: A001 - Sphinx's name
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
root_doc = "index"
# A link to a heading that is not there is a warning, and a warning ends the build.
myst_heading_anchors = 6
# Docstrings mark names as Markdown does.
default_role = "literal"
# A block of output is no program; how it is coloured matters to nobody.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
napoleon_custom_sections = ["Source"]

html_theme = "furo"
html_title = f"he_fsm {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def level_captions(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _: Any
) -> None:
    """Say of which level the captions of the navigation are: a screen reader needs that."""
    # Sphinx 9.0 makes them headings without a level, and so does Furo 2025.12.19.
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app: Sphinx) -> None:
    """Act after the theme, which makes the navigation at the usual priority, 500."""
    app.connect("html-page-context", level_captions, priority=900)
