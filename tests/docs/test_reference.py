"""The reference matches the program: arguments of the commands, exit codes, environment variables."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from multicast import _arguments, _core, env, exceptions
from scripts.docs import reference
from tests.support.private_network import ROOT

PAGES = ROOT / "docs" / "reference"
REWRITE = "update it with: python scripts/docs/reference.py"

GENERATED = {
    name: text for page in sorted(PAGES.glob("*.md")) for name, text in reference.parts(page).items()
}


def test_reference_covers_every_command() -> None:
    commands = reference.commands()
    assert {"SAY", "RECV", "HEAR", "NOOP"} <= set(commands)
    assert set(GENERATED) == {"exit-codes", "help", *(f"help {name}" for name in commands)}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_part_is_up_to_date(name: str) -> None:
    # Versions of argparse break lines at different places.
    assert GENERATED[name].split() == reference.generate(name).split(), REWRITE


def test_help_with_wrapped_lines_is_taken_apart() -> None:
    parsed = reference.parse_help(
        "usage: multicast DO [-h]\n                    [--long-option WORD [WORD ...]]\n\nDo it.\n\n"
        "positional arguments:\n  CMD\n    ONE         the first\n                of several\n\n"
        "options:\n  -h, --help  show help\n  --long-option WORD [WORD ...]\n              some words\n\nThat is all.\n"
    )
    assert parsed.usage == "multicast DO [-h] [--long-option WORD [WORD ...]]"
    assert parsed.epilog == ["That is all."]
    assert parsed.arguments == [
        ("CMD", ""),
        ("ONE", "the first of several"),
        ("-h, --help", "show help"),
        ("--long-option WORD [WORD ...]", "some words"),
    ]


def rows(name: str) -> list[list[str]]:
    """The cells of a page's table, without its head."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    found = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in found[2:]]


def test_reference_exit_codes_are_those_of_the_package() -> None:
    found = {int(code): (name, message) for code, message, name in rows("exit-codes")}
    for code, (kind, message) in exceptions.EXIT_CODES.items():
        name, shown = found.pop(code)
        assert shown == message, REWRITE
        assert name.rpartition(".")[2] == ("" if kind is None else kind.__name__), REWRITE
    assert not found


def test_reference_environment_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MULTICAST_")]:
        monkeypatch.delenv(name)
    table = {row[0]: row[2:] for row in rows("environment")}
    limits: dict[str, Any] = {
        "MULTICAST_PORT": (env.validate_port, env.load_port),
        "MULTICAST_TTL": (env.validate_ttl, env.load_TTL),
        "MULTICAST_BUFFER_SIZE": (env.validate_buffer_size, env.load_buffer_size),
    }
    for name, (valid, load) in limits.items():
        values, default = table.pop(name)
        lowest, highest = map(int, values.split(" to "))
        assert [valid(number) for number in (lowest - 1, lowest, highest, highest + 1)] == [
            False,
            True,
            True,
            False,
        ]
        assert load() == int(default)
        monkeypatch.setenv(name, str(highest))
        assert load() == highest
    config = env.load_config()
    assert table.pop("MULTICAST_GROUP")[1] == config["group"]
    assert config["bind_addr"] == config["group"]
    monkeypatch.setenv("MULTICAST_BIND_ADDR", "239.1.2.3")
    monkeypatch.setenv("MULTICAST_GROUPS", "239.1.2.4 239.1.2.5")
    assert env.load_config()["groups"] == ["224.0.0.1", "239.1.2.3", "239.1.2.4", "239.1.2.5"]
    assert table.keys() == {"MULTICAST_BIND_ADDR", "MULTICAST_GROUPS"}


def test_buffer_setting_in_documentation_is_the_one_requested() -> None:
    page = (ROOT / "docs" / "how-to" / "high-rates.md").read_text(encoding="utf-8")
    found = re.search(r"sysctl -w ([\w.]+)=(\d+)", page)
    assert found
    assert int(found[2]) == _arguments.AUTO_RECV_BUFFER
    if sys.platform == "linux":
        assert found[1] == _core._receive_buffer_setting()


def test_outdated_part_is_found_and_updated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "codes.md"
    page.write_text("before\n<!-- exit-codes -->\nold\n<!-- end of exit-codes -->\nafter\n")
    monkeypatch.setattr(reference, "PAGES", tmp_path)
    monkeypatch.setattr("sys.argv", ["reference.py", "--check"])
    assert reference.main() == 1
    assert "old" in page.read_text()
    monkeypatch.setattr("sys.argv", ["reference.py"])
    assert reference.main() == 0
    assert reference.main() == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- exit-codes -->\n\n| Code |")
    assert text.endswith("|\n\n<!-- end of exit-codes -->\nafter\n")
    assert capsys.readouterr().out.count("codes.md") == 2
