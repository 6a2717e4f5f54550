"""The time that a program takes to start, and its memory after millions of datagrams."""

import os
import subprocess
import sys
import tempfile
import time

from bench import contestants as who
from bench.plan import Plan
from bench.process import await_empty
from bench.record import Book
from bench.scenarios.traffic import recorded, source

STARTS = {
    "import multicast": ["-c", "import multicast"],
    "import socket, logging": ["-c", "import socket, logging"],
    "python3 -m multicast NOOP": ["-m", "multicast", "NOOP"],
    "python3 -m multicast --help": ["-m", "multicast", "--help"],
    "import socket, argparse, logging": ["-c", "import socket, argparse, logging"],
}
"""Programs to start: ours, followed by the one with which they are compared."""


def starting(plan: Plan, book: Book) -> None:
    """Measure the start of a program: the wall time of a whole process."""
    with tempfile.TemporaryDirectory() as cache:
        _starts(plan, book, {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache})


def _starts(plan: Plan, book: Book, environment: dict[str, str]) -> None:
    """Start the programs in turn, with compiled modules, as an installed package has them."""
    for turn in range(-1, plan.rounds * plan.starts):
        for name, argv in STARTS.items():
            begin = time.perf_counter_ns()
            done = subprocess.run([sys.executable, *argv], env=environment, check=False, capture_output=True)
            wall = time.perf_counter_ns() - begin
            if done.returncode:
                output = done.stderr.decode(errors="backslashreplace").strip().splitlines()
                reason = output[-1] if output else "no error output"
                book.fail(f"starting: {name}: exit code {done.returncode}: {reason}")
            elif turn >= 0:  # the first start compiles modules and fills the file cache
                book.add(("starting", name, 0, False), turn, {"wall_ns": wall})


def memory(plan: Plan, book: Book) -> None:
    """Measure the memory of a receiver with default settings, and its growth over millions of datagrams."""
    entry, port = who.DEFAULT_RECEIVER, who.new_port()
    with (
        recorded(book, "memory", entry),
        entry.start("memory", port, plan.cores[0]) as child,
        source(port, plan.cores[1], 100, coalesced=True) as sender,
    ):
        child.tell("added")
        sender.ask("send 20000 100000")
        await_empty(port)
        added = child.stop()
        child.tell(f"watch {plan.memory // 20}")
        sender.ask(f"send {plan.memory} 1000000", patience=60 + plan.memory / 200_000)
        await_empty(port)
        watched = child.stop()
        values = {
            "added_bytes": added["added"],
            "datagrams": watched["datagrams"],
            "grown_bytes": watched["grown"],
        }
        book.add(("memory", entry.name, 100, True), 0, values)
