"""The reference tells what the program says of itself: help texts, exit codes, environment variables."""

import os
import re
import sys
from typing import Any

import pytest

from multicast import _core, env, exceptions, sync
from scripts import reference
from tests.support.markdown import Block, blocks
from tests.support.private_network import ROOT

PAGES = ROOT / "docs" / "reference"
REWRITE = "bring it up to date by: python scripts/reference.py"


def words(text: str) -> list[str]:
    """The words of a help text, as every version of argparse writes them."""
    # Since Python 3.13 an option's value is written once: "-m, --message ..." and no longer "-m ..., --message ...".
    return re.sub(r"(-\w) (\S+), (--[\w-]+) \2", r"\1, \3 \2", text).split()


HELP = blocks(PAGES / "command-line.md")


@pytest.mark.parametrize("block", HELP, ids=lambda block: block.options["help"])
def test_help_is_what_the_program_prints(block: Block) -> None:
    command = block.options["help"].removeprefix("multicast")
    assert words(block.code) == words(reference.help_text(command)), REWRITE


def test_every_command_has_its_help() -> None:
    told = reference.commands()
    assert {"SAY", "RECV", "HEAR", "NOOP", "interfaces", "help"} <= set(told)
    assert [block.options["help"] for block in HELP] == ["multicast", *told], REWRITE


def rows(name: str) -> list[list[str]]:
    """The cells of a page's table, without its head."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    found = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in found[2:]]


def test_exit_codes_are_those_of_the_package() -> None:
    found = {int(code): (name, message) for code, message, name in rows("exit-codes")}
    for code, (kind, message) in exceptions.EXIT_CODES.items():
        name, told = found.pop(code)
        assert told == message, REWRITE
        assert name.rpartition(".")[2] == ("" if kind is None else kind.__name__), REWRITE
    assert not found


def test_environment_is_what_the_package_reads(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_setting_for_a_larger_buffer_is_the_one_that_is_asked_for() -> None:
    page = (ROOT / "docs" / "how-to" / "high-rates.md").read_text(encoding="utf-8")
    found = re.search(r"sysctl -w ([\w.]+)=(\d+)", page)
    assert found
    assert int(found[2]) == sync.AUTO_RECV_BUFFER
    if sys.platform == "linux":
        assert found[1] == _core.receive_buffer_setting()


def test_what_is_stale_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "PARTS", {"exit-codes": lambda: "another table\n"})
    monkeypatch.setattr("sys.argv", ["reference.py", "--check"])
    assert reference.main() == 1
