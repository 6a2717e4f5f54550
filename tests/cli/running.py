"""Helpers that run the command line as a process. No tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from tests.support.programs import Program, environment

MULTICAST = [sys.executable, "-m", "multicast"]
GROUP = "239.4.6.1"
OTHER = "239.4.6.2"


def run(
    *words: "str | bytes", env: dict[str, str] | None = None, **options: Any
) -> "subprocess.CompletedProcess[bytes]":
    """Run the command line and wait until it ends."""
    settings: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        **options,
    }
    if "input" in settings:
        del settings["stdin"]
    run = cast("Callable[..., subprocess.CompletedProcess[bytes]]", subprocess.run)
    return run(
        [*map(os.fsencode, MULTICAST), *map(os.fsencode, words)],
        env=environment(**(env or {})),
        check=False,
        timeout=30,
        **settings,
    )


def assert_usage_error(command: str, words: Sequence[str], message: str) -> None:
    """Check that a command with these words ends with its usage and one sentence, which contains ``message``."""
    done = run(command, *words)
    assert (done.returncode, done.stdout) == (2, b"")
    usage, sentence = done.stderr.decode().split(f"multicast {command}: error: ")
    assert usage.startswith(f"usage: multicast {command} [OPTION ...]")
    assert usage.count("\n") == 1
    assert message in sentence
    assert sentence.endswith(f"(see 'multicast {command} --help')\n")


def start(*words: str) -> Program:
    """Start the command line. The caller ends it."""
    return Program([*MULTICAST, *words])
