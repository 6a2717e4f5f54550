"""The two ends of a program's life: how long it takes to start, and what it weighs after millions of datagrams."""

import subprocess
import sys
import time

from bench import contestants as who
from bench.plan import Plan
from bench.process import await_empty
from bench.record import Book
from bench.scenarios.traffic import noted, source

STARTS = {
    "import multicast": ["-c", "import multicast"],
    "import socket, logging": ["-c", "import socket, logging"],
    "python3 -m multicast NOOP": ["-m", "multicast", "NOOP"],
    "import socket, argparse, logging": ["-c", "import socket, argparse, logging"],
}
"""Programs to start: ours, each followed by the one it is measured against."""


def starting(plan: Plan, book: Book) -> None:
    """What a program pays before its first line: wall time of a whole process."""
    for turn in range(-1, plan.rounds * plan.starts):
        for name, argv in STARTS.items():
            begin = time.perf_counter_ns()
            done = subprocess.run([sys.executable, *argv], check=False, capture_output=True)
            wall = time.perf_counter_ns() - begin
            if done.returncode:
                said = done.stderr.decode(errors="backslashreplace").strip().splitlines()
                book.fail(
                    f"starting: {name}: exit code {done.returncode}: {said[-1] if said else 'nothing said'}"
                )
            elif turn >= 0:  # the first start compiles, and fills the file cache
                book.add(("starting", name, 0, False), turn, {"wall_ns": wall})


def memory(plan: Plan, book: Book) -> None:
    """What a receiver at its default settings adds, and whether it grows over millions of datagrams."""
    entry, port = who.WEIGHED, who.new_port()
    with (
        noted(book, "memory", entry),
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
