"""``multicast help`` and the registry of commands."""

import subprocess
import sys

import pytest

from multicast.cli import parser
from multicast.cli.commands import COMMANDS, is_tool, load, nearest
from tests.cli.running import run
from tests.support.programs import environment


def test_help_alone_is_that_of_the_program() -> None:
    asked, option = run("help"), run("--help")
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert asked.stdout == option.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_is_that_of_its_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse([name, "--help"])
    assert parser.help_text(name) == capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in COMMANDS if not is_tool(name)])
def test_help_of_a_command_imports_nothing_that_only_its_work_needs(name: str) -> None:
    program = (
        f"import sys; from multicast.cli.parser import help_text; help_text({name!r}); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    work = {"asyncio", "dataclasses", "ipaddress", "socket", "multicast._core", "multicast.endpoints"}
    assert not work & set(done.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_registry_command_can_be_loaded_and_described(name: str) -> None:
    summary = COMMANDS[name][1]
    command = load(name)
    if is_tool(name):
        assert command.__prologue__ == f"{summary[0].upper()}{summary[1:]}."
        assert command.__proc__ == name
    else:
        assert callable(command.add_arguments)
        assert callable(command.run)
        assert name.islower()
    assert not summary.endswith(".")
    assert summary.split()[0] in " ".join(parser.help_text(name).lower().split())


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("interface", "interfaces"),
        ("INTERFACES", "interfaces"),
        ("hear", "HEAR"),
        ("noop", "NOOP"),
        ("RECEIVE", "RECV"),
        ("zzz", None),
        ("", None),
    ],
)
def test_misspelled_command_suggests_the_nearest(word: str, name: str | None) -> None:
    assert nearest(word) == name
