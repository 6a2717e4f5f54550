"""Common parts of the scenarios: the source of the traffic, the installed contestants, and failures."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from bench.contestants import Contestant
from bench.plan import Plan
from bench.process import Child, ChildFailedError
from bench.record import Book

Scenario = Callable[[Plan, Book], None]

SEGMENTS = {100: 64, 1316: 49}
"""Datagrams in one coalesced send, by size: at most 64 (a limit of older kernels) and 65,507 bytes."""

WARM = 1024
"""Datagrams before the measurement, which warm memory and branch prediction."""

_SOURCE = Contestant("source", "floor")


def present(book: Book, entries: Sequence[Contestant]) -> list[Contestant]:
    """Return the installed contestants among `entries`, and record the others as absent."""
    for entry in entries:
        if not entry.present and entry.name not in book.absent:
            book.absent.append(entry.name)
    return [entry for entry in entries if entry.present]


@contextmanager
def recorded(book: Book, scenario: str, entry: Contestant) -> Generator[None, None, None]:
    """Record the failure of a contestant, which loses its round, and continue."""
    try:
        yield
    except ChildFailedError as error:
        book.fail(f"{scenario}: {entry.name}: {error}")


def source(port: int, core: int, size: int, *, coalesced: bool = False, **more: object) -> Child:
    """Start the sender in C: one datagram in each packet, or `SEGMENTS` of them coalesced by the kernel."""
    kind = {"kind": "gso", "segments": SEGMENTS[size]} if coalesced else {"kind": "mmsg"}
    return _SOURCE.start("send", port, core, size=size, **(kind | more))


def per_datagram(answer: dict[str, float]) -> dict[str, float]:
    """Divide the totals that a child measured by its datagrams."""
    count = answer["datagrams"]
    if not count:
        return {"datagrams": 0}
    return {key: answer[key] / count for key in ("cpu_ns", "wall_ns")} | {"datagrams": count}
