"""The Sphinx configuration: `make build-docs` builds HTML from this folder.

DOCS_BUILD_REF is the branch, tag or commit that links to sources lead to (default: `stable`).
"""

import importlib
import inspect
import operator
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import multicast

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REPOSITORY = "https://github.com/reactive-firewall/multicast"
REF = os.environ.get("DOCS_BUILD_REF") or "stable"

project = "multicast"
author = "the multicast authors"
project_copyright = "2026, the multicast authors"
release = multicast.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.linkcode",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
# A name in single backticks in a docstring becomes a link if it is documented.
default_role = "py:obj"

# Quotation marks and dots, but not dashes: the name of an option begins with two hyphens.
smartquotes_action = "qe"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
# Signatures with many parameters get one line for each.
maximum_signature_line_length = 88

html_theme = "furo"
# The theme's own dark style underlines modules, as if they were links.
pygments_dark_style = "github-dark"
html_title = f"multicast {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": f"{REPOSITORY}/",
    "source_branch": REF,
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
}
copybutton_exclude = ".linenos, .gp, .go"

_LINK = re.compile(r"\]\((?P<path>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_TITLE = re.compile(r"<title[^>]*>([^<]+)")
_DIAGRAM = re.compile(r"^```mermaid picture=(?P<path>\S+)\n.*?^```$", re.MULTILINE | re.DOTALL)


def link_to_sources(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links that leave this folder to the repository, at the version that the pages are built for.

    Raises:
        ExtensionError: A link leads to a missing file.
    """

    def link(match: re.Match[str]) -> str:
        target = ((HERE / docname).parent / match["path"]).resolve()
        if target.is_relative_to(HERE):
            return match[0]
        if not target.exists():
            raise ExtensionError(f"{docname}: a link leads to the missing file {match['path']}")
        kind = "tree" if target.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/{REF}/{target.relative_to(ROOT).as_posix()}{match['anchor'] or ''})"

    source[0] = _LINK.sub(link, source[0])


def show_pictures(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the text of a diagram by its picture. GitHub draws the text, Sphinx does not."""

    def picture(match: re.Match[str]) -> str:
        drawn = ((HERE / docname).parent / match["path"]).read_text(encoding="utf-8")
        return f"![{_TITLE.findall(drawn)[0]}]({match['path']})"

    source[0] = _DIAGRAM.sub(picture, source[0])


def compiled(found: object) -> str | None:
    """Return the address of the Rust source of a compiled class or method, or None for other objects."""
    owner = getattr(found, "__objclass__", found)
    if not isinstance(owner, type) or owner.__module__ not in {"multicast", "multicast._core"}:
        return None
    path = ROOT / "rust" / "py" / "src" / f"{owner.__name__.lower()}.rs"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    what = f"struct {owner.__name__}" if found is owner else f"fn {getattr(found, '__name__', '')}"
    place = re.search(rf"\b{what}\b", text)
    line = f"#L{text.count(chr(10), 0, place.start()) + 1}" if place else ""
    return f"{REPOSITORY}/blob/{REF}/{path.relative_to(ROOT).as_posix()}{line}"


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return the address of the source of a documented name, or None if there is none."""
    if domain != "py" or not info["module"]:
        return None
    try:
        found = operator.attrgetter(info["fullname"])(importlib.import_module(info["module"]))
        plain = inspect.unwrap(found.fget if isinstance(found, property) else found)
        lines, first = inspect.getsourcelines(plain)
        path = Path(inspect.getsourcefile(plain) or "").resolve()
    except AttributeError:
        return None  # exists on instances only
    except (TypeError, OSError):
        return compiled(found)
    if not path.is_relative_to(ROOT / "python"):
        return None  # inherited from the standard library
    where = path.relative_to(ROOT).as_posix()
    return f"{REPOSITORY}/blob/{REF}/{where}#L{first}-L{first + len(lines) - 1}"


def simplify_types(app: Sphinx, *event: object) -> tuple[str | None, str | None]:
    """Show types in signatures without the private modules that define them, and `SupportsIndex` as `int`."""

    def simple(text: object) -> str | None:
        if not isinstance(text, str):
            return None
        return re.sub(r"\b(?:_arguments|_core|handlers)\.", "", text).replace("SupportsIndex", "int")

    *_, signature, result = event
    return simple(signature), simple(result)


def keep_sentences(app: Sphinx, what: str, *event: Any) -> None:
    """Rejoin the sentence about an attribute if Napoleon has taken the words before a colon for a type."""
    lines: list[str] = event[-1]
    if what not in {"attribute", "property"}:
        return
    for index, line in enumerate(lines):
        if line.startswith(":type: "):
            lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"
            del lines[index]
            return


def draw_dashes(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Show the two hyphens that Sphinx writes between a parameter and its description as a dash."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))  # noqa: RUF001 - a dash is meant


def setup(app: Sphinx) -> None:
    """Register the hooks above."""
    app.connect("source-read", link_to_sources)
    app.connect("source-read", show_pictures)
    app.connect("autodoc-process-signature", simplify_types)
    # Napoleon, at the default priority of 500, goes first.
    app.connect("autodoc-process-docstring", keep_sentences, priority=600)
    app.connect("doctree-resolved", draw_dashes)
    # A configuration value of Sphinx, so that pages are rebuilt when it changes.
    app.add_config_value("docs_build_ref", REF, "env")
