"""The targets, each with the measurement that decides it. A target that was not measured is "absent", never a pass."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import contestants as who
from bench.contestants import Contestant
from bench.record import Book, Row

Measure = Callable[[Book], float | None]


@dataclass(frozen=True)
class Target:
    """One target: `measure` must be at most (or, with `least`, at least) `limit`."""

    what: str
    against: str
    limit: float
    measure: Measure
    least: bool = False
    unit: str = "x"

    def verdict(self, book: Book) -> tuple[float | None, str]:
        """Return the measured value and "pass", "short" or "absent"."""
        value = self.measure(book)
        if value is None:
            return None, "absent"
        reached = value >= self.limit if self.least else value <= self.limit
        return value, "pass" if reached else "short"


def _ratio(row: Row, base: Row, key: str = "cpu_ns") -> Measure:
    return lambda book: book.ratio(row, base, key)


def _cost(scenario: str, entry: Contestant, base: Contestant, size: int, *, gso: bool = False) -> Measure:
    return _ratio((scenario, entry.name, size, gso), (scenario, base.name, size, gso))


def _times_faster_coalesced(entry: Contestant, size: int) -> Measure:
    return _ratio(("drain", who.FLOOR.name, size, False), ("drain", entry.name, size, True))


def _value(
    scenario: str, name: str, size: int, key: str, *, gso: bool = False, scale: float = 1.0
) -> Measure:
    def measure(book: Book) -> float | None:
        value = book.median((scenario, name, size, gso), key)
        return None if value is None else value * scale

    return measure


def _lag(entry: Contestant, key: str) -> Measure:
    return _ratio(("latency", entry.name, 100, False), ("latency", who.FLOOR.name, 100, False), key)


def _start(name: str, base: str) -> Measure:
    return _ratio(("starting", name, 0, False), ("starting", base, 0, False), "wall_ns")


# Each way to read, lean and with all metadata, and its limit compared with the floor.
_WAYS = (
    ("recv_batch + columns", who.LEAN_COLUMNS, who.COLUMNS, 1.15),
    ("recv_batch().payloads()", who.LEAN_PAYLOADS, who.PAYLOADS, 1.25),
    ("for msg in rx", who.LEAN_ITERATE, who.ITERATE, 1.5),
)


def _receiving(size: int) -> list[Target]:
    at = f"{size} B"
    lines: list[Target] = []
    for what, lean, full, limit in _WAYS:
        lines += [
            Target(f"{what}, lean, {at}", "recvmmsg floor", limit, _cost("drain", lean, who.FLOOR, size)),
            Target(
                f"{what}, all metadata, {at}", "recvmmsg floor, same metadata", limit,
                _cost("drain", full, who.FLOOR_METADATA, size),
            ),
            Target(f"{what}, all metadata, {at}", "recvmmsg floor", limit, _cost("drain", full, who.FLOOR, size)),
        ]  # fmt: skip
    for entry in (who.LEAN_ITERATE, who.ITERATE):
        lines += [
            Target(f"{entry.name}, {at}", who.STDLIB.name, 0.5, _cost("drain", entry, who.STDLIB, size)),
            Target(
                f"{entry.name}, {at}, flood", who.STDLIB.name, 0.5, _cost("flood", entry, who.STDLIB, size)
            ),
        ]
    for entry in (who.COLUMNS, who.PAYLOADS, who.ITERATE):
        lines += [
            Target(
                f"{entry.name}, {at}, coalesced", "GRO floor", 1.6,
                _cost("drain", entry, who.FLOOR_GRO, size, gso=True),
            ),
            Target(
                f"{entry.name}, {at}, coalesced", "times faster than the plain floor", 4,
                _times_faster_coalesced(entry, size), least=True,
            ),
        ]  # fmt: skip
    lines += [
        Target(
            f"async for, lean, {at}", "uvloop protocol", 0.7, _cost("drain", who.LEAN_AIO, who.UVLOOP, size)
        ),
        Target(f"async for, {at}", "uvloop protocol", 0.7, _cost("drain", who.AIO, who.UVLOOP, size)),
        Target(f"async for, {at}", "asyncio protocol", 0.1, _cost("drain", who.AIO, who.ASYNCIO, size)),
        Target(
            f"{who.ENDPOINT.name}, {at}", "asyncio protocol", 0.15,
            _cost("drain", who.ENDPOINT, who.ASYNCIO, size),
        ),
        Target(
            f"{who.ENDPOINT.name}, {at}, flood", "asyncio protocol", 0.15,
            _cost("flood", who.ENDPOINT, who.ASYNCIO, size),
        ),
        Target(f"McastServer, {at}", who.STDLIB.name, 1.2, _cost("drain", who.SERVER, who.STDLIB, size)),
    ]  # fmt: skip
    return lines


def _sending(size: int) -> list[Target]:
    at = f"{size} B"
    return [
        Target(
            f"send_many, mixed sizes, {at}", "sendmmsg floor", 1.1,
            _cost("sending", who.SEND_MANY_MIXED, who.FLOOR_MIXED, size),
        ),
        Target(
            f"send_many, equal sizes, {at}", "sendmmsg floor", 1.1,
            _cost("sending", who.SEND_MANY, who.FLOOR_SENDMMSG, size),
        ),
        Target(
            f"send_many, equal sizes, {at}", "times faster than sendto", 8,
            _cost("sending", who.STDLIB_SENDTO, who.SEND_MANY, size), least=True,
        ),
    ]  # fmt: skip


TARGETS: list[Target] = [
    *_receiving(100),
    *_receiving(1316),
    Target("McastServer at 50,000/s", "lost", 0, _value("server", who.SERVER.name, 100, "lost"), unit=""),
    Target("for msg in rx at 50,000/s", "lost", 0, _value("server", who.ITERATE.name, 100, "lost"), unit=""),
    *_sending(100),
    *_sending(1316),
    Target("latency of rx.recv() at 1,000/s, p50", "C blocking recv", 1.15, _lag(who.RECV, "p50_ns")),
    Target("latency of rx.recv() at 1,000/s, p99", "C blocking recv", 1.15, _lag(who.RECV, "p99_ns")),
    Target("latency of for msg in rx at 1,000/s, p50", "C blocking recv", 1.15, _lag(who.ITERATE, "p50_ns")),
    Target("latency of for msg in rx at 1,000/s, p99", "C blocking recv", 1.15, _lag(who.ITERATE, "p99_ns")),
    Target(
        "a computing thread beside columns at 100,000/s", "of its speed alone", 0.9,
        _value("gil_contention", who.BUSY_COLUMNS.name, 100, "share"), least=True, unit="",
    ),
    Target(
        "a computing thread beside payloads() at 100,000/s", "of its speed alone", 0.9,
        _value("gil_contention", who.BUSY_PAYLOADS.name, 100, "share"), least=True, unit="",
    ),
    # A receiver that falls behind costs little, so the two targets above mean something only if these are reached.
    Target(
        "datagrams received as columns beside a computing thread", "of 100,000/s", 0.9,
        _value("gil_contention", who.BUSY_COLUMNS.name, 100, "received_share"), least=True, unit="",
    ),
    Target(
        "datagrams received as payloads() beside a computing thread", "of 100,000/s", 0.9,
        _value("gil_contention", who.BUSY_PAYLOADS.name, 100, "received_share"), least=True, unit="",
    ),
    Target("import multicast", "import socket, logging", 1.5, _start("import multicast", "import socket, logging")),
    Target(
        "python3 -m multicast NOOP", "import socket, argparse, logging", 1.15,
        _start("python3 -m multicast NOOP", "import socket, argparse, logging"),
    ),
    Target(
        "1,000 groups joined", "one group", 1.2,
        _cost("groups", who.GROUPS, who.COLUMNS, 100),
    ),
    Target(
        "memory of a receiver with default settings", "MiB", 8,
        _value("memory", who.DEFAULT_RECEIVER.name, 100, "added_bytes", gso=True, scale=2**-20), unit="",
    ),
    Target(
        "memory growth over millions of datagrams", "MiB", 1,
        _value("memory", who.DEFAULT_RECEIVER.name, 100, "grown_bytes", gso=True, scale=2**-20), unit="",
    ),
]  # fmt: skip
