"""The child's side of a Python contestant: `python -m bench.worker ROLE kind=MODULE:NAME group=... port=...`.

It prints `{"ready": true, ...}` and then answers each command on standard input with one line of JSON, as `floor.c`
does. It runs in the contestant's environment and imports only the contestant's module.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import buffers, counting
from bench.guard import require_private_namespace
from bench.stop import listen_for_stop

Answer = dict[str, object]
Commands = dict[str, Callable[..., Answer]]


def timed(work: Callable[[], int]) -> Answer:
    """Run `work`, which returns a number of datagrams; return the number with the time of the whole process."""
    before, wall, cpu = counting.counts(), time.perf_counter_ns(), time.process_time_ns()
    datagrams = work()
    return {
        "datagrams": datagrams,
        "cpu_ns": time.process_time_ns() - cpu,
        "wall_ns": time.perf_counter_ns() - wall,
    } | counting.since(before)


def percentiles(samples: list[int]) -> Answer:
    """Return the median and the 99th percentile of ages in nanoseconds."""
    ordered, count = sorted(samples), len(samples)
    return {
        "datagrams": count,
        "p50_ns": ordered[count // 2] if ordered else -1,
        "p99_ns": ordered[count * 99 // 100] if ordered else -1,
    }


def receive(make: Callable[..., Any], values: dict[str, str]) -> tuple[Answer, Commands]:
    """Return the commands of a receiver: `take N`, `listen`, `latency`."""
    before = buffers.sockets()
    reader = make(values["group"], int(values["port"]))
    ready: Answer = {}
    if int(values.get("force", "0")):
        ready["buffer"] = buffers.enlarge(buffers.sockets() - before)

    def settled(work: Callable[[], int]) -> Answer:
        answer = timed(work)
        reader.settle()
        return answer

    def take(count: int) -> Answer:
        return settled(lambda: reader.take(count))

    return ready, {
        "take": take,
        "listen": lambda: settled(reader.listen) | reader.counters(),
        "latency": lambda: percentiles(reader.latency()),
    }


def send(make: Callable[..., Any], values: dict[str, str]) -> tuple[Answer, Commands]:
    """Return the command of a sender: `send N`."""
    write = make(values["group"], int(values["port"]), int(values["size"]))

    def send_and_time(count: int) -> Answer:
        return timed(lambda: write(count))

    return {}, {"send": send_and_time}


def gil_contention(make: Callable[..., Any], values: dict[str, str]) -> tuple[Answer, Commands]:
    """Return the commands of a computing thread: `alone MS`, `beside MS`."""
    contention = make(values["group"], int(values["port"]))
    return {}, {"alone": contention.alone, "beside": contention.beside}


def memory(make: Callable[..., Any], values: dict[str, str]) -> tuple[Answer, Commands]:
    """Return the commands that measure the memory of a receiver: `added`, `watch N`."""
    probe = make(values["group"], int(values["port"]))
    return {}, {"added": probe.added, "watch": probe.watch}


ROLES = {"recv": receive, "send": send, "gil_contention": gil_contention, "memory": memory}


def main(argv: list[str]) -> None:
    """Serve commands until end of file."""
    require_private_namespace()
    values = dict(argument.split("=", 1) for argument in argv[1:])
    module, _, name = values["kind"].partition(":")
    listen_for_stop()
    make = getattr(importlib.import_module(f"bench.{module}"), name)
    ready, commands = ROLES[argv[0]](make, values)
    print(json.dumps({"ready": True} | ready), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(commands[command](*map(int, arguments))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
