"""The architecture page matches the tree: its table has every folder, and the files that it names exist."""

import re
from pathlib import Path

from tests.support.private_network import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCES = {".py", ".rs", ".sh", ".md"}
# The row of such a folder stands for its subfolders too.
WITH_SUBFOLDERS = ("bench", "docs", "rust/core/src/sys")
NOT_SOURCES = {"__pycache__", "_build", "build", "results"}


def folder_of(path: Path) -> str:
    """Return the folder whose row describes the file ``path``."""
    folder = path.parent.relative_to(ROOT).as_posix()
    for parent in WITH_SUBFOLDERS:
        if folder.startswith(f"{parent}/"):
            return parent
    return folder


def test_folder_table_lists_every_folder_of_the_tree() -> None:
    section = PAGE.partition("## Folders")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([\w/.-]+)` \|", section, re.MULTILINE)
    files = [
        path
        for top in ("bench", "docs", "examples", "python", "rust", "scripts", "tests")
        for path in (ROOT / top).rglob("*")
        if path.suffix in SOURCES and NOT_SOURCES.isdisjoint(path.relative_to(ROOT).parts)
    ]
    assert sorted(listed) == sorted({folder_of(path) for path in files})


def test_files_that_the_page_names_exist() -> None:
    names = re.findall(r"`((?:\w+/)+[\w-]+\.(?:py|rs|sh))`", PAGE)
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).is_file()] == []
