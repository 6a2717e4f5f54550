"""Test the pictures: each has a description, and the terminals show real output."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from scripts.docs import speed_table
from tests.support.hosts import Host
from tests.support.markdown import blocks
from tests.support.private_network import ROOT

PICTURES = sorted(path for path in (ROOT / "docs").rglob("*.svg") if "_build" not in path.parts)
STATIC = ROOT / "docs" / "_static"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_picture_is_well_formed(path: Path) -> None:
    assert ET.parse(path).getroot().get("viewBox")


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.svg")), ids=lambda path: path.name)
def test_picture_has_title_and_description(path: Path) -> None:
    parts = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in ET.parse(path).getroot()}
    assert parts["title"]
    assert parts["desc"]


def test_doctor_picture_shows_real_output(hosts: list[Host], tmp_path: Path) -> None:
    drawn = tmp_path / "doctor.svg"
    command = [sys.executable, "-m", "scripts.docs.doctor_picture", os.fspath(drawn)]
    subprocess.run(command, check=True, timeout=50, cwd=ROOT)
    assert drawn.read_text(encoding="utf-8") == (STATIC / "doctor.svg").read_text(encoding="utf-8"), (
        "draw it again with: bash scripts/dev/netns.sh --hosts 2 .venv/bin/python -m scripts.docs.doctor_picture"
    )


def test_command_pictures_show_real_output(hosts: list[Host], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.docs.command_pictures", os.fspath(tmp_path)]
    subprocess.run(command, check=True, timeout=50, cwd=ROOT)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert [path.name for path in drawn] == ["listen.svg", "measure.svg", "ping.svg", "terminal.svg"]
    for path in drawn:
        assert without_numbers(path) == without_numbers(STATIC / path.name), (
            "draw it again with: bash scripts/dev/netns.sh --hosts 2 .venv/bin/python -m scripts.docs.command_pictures"
        )


def without_numbers(path: Path) -> str:
    """Return what a picture shows, without the numbers: times, ports and delays differ each time."""
    return re.sub(r"\d+", "0", str(ET.parse(path).getroot().findtext("{*}desc")))


def test_top_picture_shows_a_real_screen(hosts: list[Host], tmp_path: Path) -> None:
    drawn = tmp_path / "top.svg"
    command = [sys.executable, "-m", "scripts.docs.top_picture", os.fspath(drawn)]
    subprocess.run(command, check=True, timeout=50, cwd=ROOT)
    new, old = ([line.split() for line in described(path)] for path in (drawn, STATIC / "top.svg"))
    # Rates, ports and losses are different each time.
    assert [line[0] for line in new if line] == [line[0] for line in old if line]
    assert [line[2:3] for line in new[2:7]] == [line[2:3] for line in old[2:7]]
    assert new[2] == old[2]


def described(path: Path) -> list[str]:
    """Return the lines that the description of a picture gives."""
    (text,) = [child.text for child in ET.parse(path).getroot() if child.tag.endswith("desc")]
    assert text
    return text.split("; ")


def test_logging_picture_shows_the_steps_of_its_diagram() -> None:
    (diagram,) = [block for block in blocks(ROOT / "docs" / "faq.md") if block.language == "mermaid"]
    assert (ROOT / "docs" / diagram.options["picture"]).is_file()
    shown = (ROOT / "docs" / diagram.options["picture"]).read_text(encoding="utf-8")
    for message in (
        "import logging",
        "add custom log handler",
        "import multicast",
        "NullHandler",
        "initialized",
    ):
        assert message in diagram.code
        assert message in shown


def test_speed_table_shows_the_figures_of_the_run() -> None:
    rows: list[dict[str, Any]] = [
        {
            "scenario": "drain",
            "contestant": name,
            "bytes": 100,
            "coalesced": False,
            "median": {"cpu_ns": 1234.5},
        }
        for name in speed_table.LINES
        if name != "packet engine, columns"
    ]
    columns, flooded = "recv_batch columns", {**rows[0], "scenario": "flood"}
    rows += [
        {**rows[0], "contestant": "floor: recvmmsg + UDP_GRO", "coalesced": True, "median": {"cpu_ns": 21.0}},
        {**rows[0], "contestant": columns, "coalesced": True, "median": {"cpu_ns": 56.0}},
        {**flooded, "contestant": columns, "median": {"cpu_ns": 2000.0, "lost_share": 0.0004}},
        {**flooded, "contestant": "for msg in rx", "median": {"cpu_ns": 2100.0, "lost_share": 0.507}},
        {**flooded, "contestant": "packet engine, columns", "median": {"cpu_ns": 205.0, "lost_share": 0.0}},
    ]
    machine = {"system": "Linux 6.1", "processor": "x86_64", "cores": 2, "python": "3.11.7"}
    page = speed_table.publish(
        {"rows": rows, "machine": machine, "plan": {"rounds": 5}},
        f"before\n{speed_table.BEGIN}\nstale figures\n{speed_table.END}\nafter",
    )
    assert page.startswith("before\n")
    assert page.endswith("\nafter")
    assert "stale" not in page
    assert "loop | 1,234 ns |  | 21 ns |  |" in page
    assert "**, columns | 1,234 ns | 2,000 ns | 56 ns |  |" in page
    assert "**`for msg in rx`** | 1,234 ns | 2,100 ns, 50.7% lost |  |  |" in page
    assert '`engine="packet"` |  | 205 ns |  |  |' in page
    words = " ".join(page.split())
    assert "Linux 6.1, x86_64, 2 cores, Python 3.11.7" in words
    assert "median of 5 rounds" in words


def test_readme_has_the_speed_table() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    between = page[page.index(speed_table.BEGIN) : page.index(speed_table.END)]
    for shown in speed_table.LINES.values():
        assert shown in between
