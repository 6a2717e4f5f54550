"""The registry of commands. A command's module is imported when the command is used.

A command module has ``add_arguments(parser)`` and ``run(args, out) -> int``, which returns the exit code. It may have
``HAS_RECORDS = False`` if it takes no ``--json``, and ``HINT_FOR_MORE_WORDS``. A 2.x command
names its tool class behind a colon instead; the class adds the options, and ``McastDispatch.useTool`` runs it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMANDS: dict[str, tuple[str, str]] = {
    "listen": ("cli.commands.listen", "print what arrives"),
    "send": ("cli.commands.send", "send words, a file, standard input or generated datagrams"),
    "top": ("cli.commands.top", "watch the streams of groups: who sends, how fast, and what is lost"),
    "measure": (
        "cli.commands.measure",
        "measure loss, order, jitter and delay of numbered streams, RTP and iperf",
    ),
    "interfaces": (
        "cli.commands.interfaces",
        "list the network interfaces and say which of them can be used for multicast",
    ),
    "doctor": ("cli.commands.doctor", "find out why nothing arrives, and prove it"),
    "ping": ("cli.commands.ping", "ping the members of a group, by unicast and by multicast"),
    "record": ("cli.commands.record", "write what arrives to pcapng files"),
    "replay": ("cli.commands.replay", "send the datagrams of a capture file again"),
    "relay": ("cli.commands.relay", "forward datagrams between groups, unicast UDP and NATS"),
    "completion": (
        "cli.commands.completion",
        "print a script that lets a shell complete commands and options",
    ),
    "help": ("cli.commands.help", "explain a command"),
    "SAY": ("send:McastSAY", "send a message to a multicast group"),
    "RECV": ("recv:McastRECV", "receive one message"),
    "HEAR": (
        "hear:McastHEAR",
        "receive one message, like RECV; with --daemon, keep listening until stopped",
    ),
    "NOOP": ("_legacy.tasks:McastNope", "do nothing, successfully"),
}
"""For each command, its module inside the package (and the 2.x tool class), and its summary for the help."""


def is_tool(name: str) -> bool:
    """Return whether command ``name`` is one of the 2.x tools."""
    return ":" in COMMANDS[name][0]


def load(name: str) -> Any:
    """Import and return the module of command ``name``, or the tool class of a 2.x command."""
    from importlib import import_module  # noqa: PLC0415 - see the top of the package

    path, _, tool = COMMANDS[name][0].partition(":")
    module = import_module(f"multicast.{path}")
    return getattr(module, tool) if tool else module


def nearest(word: str) -> str | None:
    """Return the name of the command that ``word`` most resembles, regardless of case; None if there is none."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for misspelled commands only

    names = {name.casefold(): name for name in COMMANDS}
    found = get_close_matches(word.casefold(), names, n=1)
    return names[found[0]] if found else None
