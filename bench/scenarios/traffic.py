"""What the scenarios share: the source of the traffic, who is present, and what becomes of a failure."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.contestants import Contestant
from bench.plan import Plan
from bench.process import Child, ChildFailedError
from bench.record import Book

Scenario = Callable[[Plan, Book], None]

SEGMENTS = {100: 64, 1316: 49}
"""Datagrams in one coalesced send, by size: at most 64 (what every kernel that can takes) and 65,507 bytes."""

WARM = 1024
"""Datagrams before the clock starts: the memory is touched and the branches are known."""

_SOURCE = Contestant("source", "floor")


def present(book: Book, entries: Sequence[Contestant]) -> list[Contestant]:
    """Those of `entries` that are installed; the others are noted as absent."""
    for entry in entries:
        if not entry.present and entry.name not in book.absent:
            book.absent.append(entry.name)
    return [entry for entry in entries if entry.present]


@contextmanager
def noted(book: Book, scenario: str, entry: Contestant) -> Iterator[None]:
    """A contestant that fails loses its round and is named in the report; the others go on."""
    try:
        yield
    except ChildFailedError as error:
        book.fail(f"{scenario}: {entry.name}: {error}")


def source(port: int, core: int, size: int, *, coalesced: bool = False, **more: object) -> Child:
    """The sender in C, one datagram a packet or `SEGMENTS` of them coalesced by the kernel."""
    kind = {"kind": "gso", "segments": SEGMENTS[size]} if coalesced else {"kind": "mmsg"}
    return _SOURCE.start("send", port, core, size=size, **(kind | more))


def per_datagram(answer: dict[str, float]) -> dict[str, float]:
    """What a child measured in all, as costs a datagram."""
    count = answer["datagrams"]
    if not count:
        return {"datagrams": 0}
    return {key: answer[key] / count for key in ("cpu_ns", "wall_ns")} | {"datagrams": count}
