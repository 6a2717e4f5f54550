"""``multicast completion``: the shells complete commands and options."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from multicast.cli.commands import COMMANDS
from tests.cli.running import MULTICAST, run
from tests.support.programs import environment

pytestmark = pytest.mark.platform("linux")

# Ask bash to complete a line, as the key Tab does.
COMPLETE = """
eval "$(cat)"
COMP_WORDS=({words} "") COMP_CWORD={at}
$(complete -p multicast | sed 's/.*-F \\([^ ]*\\).*/\\1/') multicast ""
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completions(*words: str) -> set[str]:
    """Return what bash offers after ``multicast`` and these words."""
    script = COMPLETE.format(words=" ".join(["multicast", *words]), at=len(words) + 1)
    done = subprocess.run(
        ["bash", "-c", script],
        input=run("completion", "bash").stdout,
        env=environment(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    return set(done.stdout.decode().split())


def test_bash_offers_every_command() -> None:
    assert set(COMMANDS) <= completions()


def test_fish_offers_every_command_and_option(tool: Callable[[str], str]) -> None:
    script = "source; complete -C 'multicast '; complete -C 'multicast listen --max'"
    done = subprocess.run(
        [tool("fish"), "--no-config", "-c", script],
        input=run("completion", "fish").stdout,
        env=environment(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    offered = {line.split("\t")[0] for line in done.stdout.decode().splitlines()}
    assert offered >= {*COMMANDS, "--max-loss"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_every_shell_gets_the_options_of_a_command(shell: str) -> None:
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"max-loss" in done.stdout


def test_missing_package_is_an_error_that_names_the_extra() -> None:
    hide = "import sys; sys.modules['shtab'] = None; from multicast.__main__ import cli; sys.exit(cli())"
    done = subprocess.run(
        [sys.executable, "-c", hide, "completion", "bash"], capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert b"the package shtab is missing (pip install 'multicast[cli]')" in done.stderr
    assert MULTICAST
