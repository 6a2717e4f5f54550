"""How Sphinx makes HTML of this folder: `make build-docs`.

DOCS_BUILD_REF names the branch, tag or commit that links to sources lead to; `stable` where it is not set.
"""

import os
import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/reactive-firewall/multicast"
REF = os.environ.get("DOCS_BUILD_REF") or "stable"

project = "multicast"
author = "the multicast authors"
project_copyright = "2026, the multicast authors"
release = re.findall(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[
    0
]

extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "UDP multicast for people and programs"}
exclude_patterns = ["_build"]


def link_to_sources(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links out of this folder lead to the repository, at the version that these pages are built for."""
    source[0] = re.sub(r"\]\(\.\./([^)]+)\)", rf"]({REPOSITORY}/blob/{REF}/\1)", source[0])


def setup(app: Sphinx) -> None:
    """Add what our pages need beyond the extensions."""
    app.connect("source-read", link_to_sources)
    # Known to Sphinx, so that pages are made anew when it changes.
    app.add_config_value("docs_build_ref", REF, "env")
    # Diagrams are drawn where the Markdown itself is shown; here their text is.
    app.add_lexer("mermaid", TextLexer)
