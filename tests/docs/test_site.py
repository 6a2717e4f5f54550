"""The documentation site: it is built without a warning, and no link inside it is dead."""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.markdown import documents
from tests.support.private_network import ROOT
from tests.support.programs import environment

# The site is built first, on a machine that may do much else.
pytestmark = pytest.mark.timeout(210)

REF = "0123abc"


class Page(html.parser.HTMLParser):
    """Collects what a page links to, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in {"href", "src"}:
                self.links.add(value)
            elif value and name == "id":
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    quiet = ["--fail-on-warning", "--keep-going", "-q"]
    where = [os.fspath(ROOT / "docs"), os.fspath(folder / "html")]
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", *quiet, "-b", "html", "-d", os.fspath(folder / "doctrees"), *where],
        env=environment(DOCS_BUILD_REF=REF),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return folder / "html"


def test_site_internal_links_work(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 20
    dead: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_site_source_links_name_the_requested_commit(site: Path) -> None:
    links = {
        link for path in site.rglob("*.html") for link in Page(path).links if "/reactive-firewall" in link
    }
    sources = [link for link in links if "/python/multicast/" in link]
    assert any("sync.py#L" in link for link in sources)
    assert any("rust/py/src/receiver.rs#L" in link for link in links)
    for link in links:
        found = re.match(
            r"https://github\.com/[\w-]+/multicast(?:/(?:blob|tree|raw|edit)/(\w+)/([^#?]+))?", link
        )
        assert found, link
        if found[1]:
            assert found[1] == REF, link
            assert (ROOT / found[2]).exists(), link


def test_site_documents_the_compiled_classes(site: Path) -> None:
    page = Page(site / "reference" / "python.html")
    for name in (
        "Receiver.recv",
        "Receiver.recv_batch",
        "Receiver.join",
        "Sender.send_many",
        "Batch.payloads",
    ):
        assert f"multicast.{name}" in page.anchors
    assert "multicast.Datagram.timestamp_ns" in page.anchors


def test_site_attribute_with_a_colon_keeps_its_sentence(site: Path) -> None:
    for page, sentence in (
        ("relay", "Where to send: the same kinds"),
        ("python", "Changes of joined interfaces: down, up"),
        ("aio", "Time to live: "),
    ):
        assert sentence in (site / "reference" / f"{page}.html").read_text(encoding="utf-8"), sentence


def test_site_pages_load_nothing_from_other_sites(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//", text), path
        assert not re.search(r"<link[^>]+rel=\"stylesheet\"[^>]+href=\"(?:https?:)?//", text), path


LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)
# The README is shown on the package index too, so it links to the project's files by full addresses.
PROJECT = re.compile(
    r"https://(?:github|raw\.githubusercontent)\.com/reactive-firewall/multicast/(?:blob/)?stable/"
)
TITLE = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The link targets in a Markdown file, by GitHub's rule."""
    titles = TITLE.findall(
        re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", [*documents(), ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_markdown_links_work_in_the_repository(path: Path) -> None:
    for link in map("".join, LINK.findall(path.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if PROJECT.match(target):
            file = ROOT / PROJECT.sub("", target)
        elif "://" in target:
            continue
        else:
            file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_readme_links_work_on_the_package_index() -> None:
    links = ["".join(link) for link in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
