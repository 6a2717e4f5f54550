"""Draw the terminals of commands on two hosts: `SCENES`, as SVG files in ``docs/_static``.

    bash scripts/dev/netns.sh --hosts 2 .venv/bin/python -m scripts.docs.command_pictures

One command waits on a host of a private network while others run on the other host. The pictures show what they
printed.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.docs.terminals import (
    COLUMNS,
    GROUP,
    PATIENCE,
    document,
    environment,
    fitted,
    on,
    until_joined,
    window,
)

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "_static"


@dataclass(frozen=True)
class Scene:
    """Two terminals."""

    title: str
    waits: str
    """The command that waits on one host, and ends by itself."""
    then: tuple[str, ...]
    """The commands on the other host."""


SCENES = {
    "terminal": Scene(
        "Two terminals: one receives what the other sends",
        f"multicast listen {GROUP}:5000 --count 2",
        (
            f"multicast send {GROUP}:5000 hello world",
            f"echo good morning | multicast send {GROUP}:5000",
        ),
    ),
    "listen": Scene(
        "Two terminals: one listens to a group, the other sends to it",
        f"multicast listen {GROUP}:5000 -v --count 2",
        (
            f"multicast send {GROUP}:5000 hello world",
            f"echo good morning | multicast send {GROUP}:5000 --ttl 4",
        ),
    ),
    "measure": Scene(
        "Two terminals: one measures the numbered datagrams of the other",
        f"multicast measure {GROUP}:5000 --count 500",
        (f"multicast send {GROUP}:5000 --numbered --count 500",),
    ),
    "ping": Scene(
        "Two terminals: one answers the pings of the other",
        f"multicast ping {GROUP} --answer --count 2",
        (f"multicast ping {GROUP} --count 2",),
    ),
}


def shown(scene: Scene) -> tuple[list[str], list[str]]:
    """Run the commands of a scene; return the lines of each terminal.

    Raises:
        subprocess.SubprocessError: A command failed or took too long.
    """
    there: list[str] = []
    with subprocess.Popen(
        at_terminal("h1", scene.waits),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=settings(),
    ) as waiting:
        try:
            until_joined("h1")
            for command in scene.then:
                done = subprocess.run(
                    at_terminal("h2", command),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    env=settings(),
                    check=True,
                    timeout=PATIENCE,
                )
                there += [f"$ {command}", *screen(done.stdout)]
            printed, _ = waiting.communicate(timeout=PATIENCE)
        finally:
            waiting.kill()
    return [f"$ {scene.waits}", *screen(printed), "$ "], [*there, "$ "]


def screen(printed: bytes) -> list[str]:
    """Return the lines that a terminal shows in the end: the progress of a command has been erased."""
    return [
        line.rpartition("\x1b[K")[2].rstrip("\r") for line in printed.decode().removesuffix("\n").split("\n")
    ]


def at_terminal(host: str, command: str) -> list[str]:
    """Return the command line that runs ``command`` at a terminal on ``host``."""
    return on(host, f"exec script --quiet --return --command '{command}' /dev/null")


def settings() -> dict[str, str]:
    """Return an environment for a terminal without colors."""
    return {**environment(), "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(COLUMNS)}


def picture(title: str, here: list[str], there: list[str]) -> str:
    """Return the picture of both terminals, as SVG."""
    upper, height = window("one host", fitted(here), 0)
    lower, more = window("another host", fitted(there), height + 12)
    return document(title, [*here, *there], [*upper, *lower], height + 12 + more + 1)


def main() -> int:
    """Draw the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw the terminals of commands.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=FOLDER, help="the folder to write to (default: docs/_static)"
    )
    folder = parser.parse_args().folder
    if int(os.environ.get("MULTICAST_HOSTS", "0")) < 2:
        print("run it with: bash scripts/dev/netns.sh --hosts 2", file=sys.stderr)
        return 1
    for name, scene in SCENES.items():
        (folder / f"{name}.svg").write_text(picture(scene.title, *shown(scene)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
