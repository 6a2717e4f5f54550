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
        """Return the measured value and "pass", "missed" or "absent"."""
        value = self.measure(book)
        if value is None:
            return None, "absent"
        reached = value >= self.limit if self.least else value <= self.limit
        return value, "pass" if reached else "missed"


def _ratio(row: Row, base: Row, key: str = "cpu_ns") -> Measure:
    return lambda book: book.ratio(row, base, key)


def _cost(scenario: str, entry: Contestant, base: Contestant, size: int, *, gso: bool = False) -> Measure:
    return _ratio((scenario, entry.name, size, gso), (scenario, base.name, size, gso))


def _value(
    scenario: str, name: str, size: int, key: str, *, gso: bool = False, scale: float = 1.0
) -> Measure:
    def measure(book: Book) -> float | None:
        value = book.median((scenario, name, size, gso), key)
        return None if value is None else value * scale

    return measure


def _lag(entry: Contestant, base: Contestant, key: str) -> Measure:
    return _ratio(("latency", entry.name, 100, False), ("latency", base.name, 100, False), key)


def _start(name: str, base: str) -> Measure:
    return _ratio(("starting", name, 0, False), ("starting", base, 0, False), "wall_ns")


def _drained(what: str, against: str, limit: float, entry: Contestant, base: Contestant, size: int) -> Target:
    return Target(f"{what}, {size} B", against, limit, _cost("drain", entry, base, size))


def _flooded(
    what: str,
    against: str,
    limit: float,
    entry: Contestant,
    base: Contestant,
    size: int,
    *,
    gso: bool = False,
) -> Target:
    return Target(f"{what}, {size} B, flood", against, limit, _cost("flood", entry, base, size, gso=gso))


def _receiving(size: int) -> list[Target]:
    floor, stdlib = "recvmmsg floor", who.STDLIB.name
    return [
        _drained("recv_batch + columns, lean", floor, 1.1, who.LEAN_COLUMNS, who.FLOOR, size),
        _drained(
            "recv_batch + columns, lean", "recvmmsg floor, sender", 1.1, who.LEAN_COLUMNS, who.FLOOR_SENDER, size
        ),
        _drained(
            "recv_batch + columns, all metadata", "recvmmsg floor, same metadata", 1.1, who.COLUMNS,
            who.FLOOR_METADATA, size,
        ),
        _drained("recv_batch().payloads(), lean", floor, 1.15, who.LEAN_PAYLOADS, who.FLOOR, size),
        _drained("for msg in rx, lean", floor, 1.3, who.LEAN_ITERATE, who.FLOOR, size),
        _flooded("for msg in rx, lean", stdlib, 1.0, who.LEAN_ITERATE, who.STDLIB, size),
        _flooded("linger=0.0002, columns", "without linger", 0.5, who.LINGER_COLUMNS, who.COLUMNS, size),
        Target(
            f"linger=0.0002, columns, {size} B, flood", "the cost of draining", 1.4,
            _ratio(("flood", who.LINGER_COLUMNS.name, size, False), ("drain", who.COLUMNS.name, size, False)),
        ),
        Target(
            f"linger=0.0002, columns, {size} B, flood", "lost", 0,
            _value("flood", who.LINGER_COLUMNS.name, size, "lost"), unit="",
        ),
        Target(
            f"holding 32 batches, {size} B", "holding one", 1.3,
            _cost("holding", who.HELD_COLUMNS, who.COLUMNS, size),
        ),
        _drained("async for, lean", "uvloop protocol", 0.6, who.LEAN_AIO, who.UVLOOP, size),
        _flooded("async for, lean", "uvloop protocol", 0.9, who.LEAN_AIO, who.UVLOOP, size),
        _drained(who.ENDPOINT.name, "asyncio protocol", 0.15, who.ENDPOINT, who.ASYNCIO, size),
        _flooded(who.ENDPOINT.name, "asyncio protocol", 0.15, who.ENDPOINT, who.ASYNCIO, size),
        _drained("McastServer", stdlib, 1.2, who.SERVER, who.STDLIB, size),
    ]  # fmt: skip


# Each way to read, its limit for coalesced datagrams, and its limit with the packet engine.
_WAYS = ((who.COLUMNS, 1.3, who.PACKET_COLUMNS, 0.2), (who.PAYLOADS, 1.9, who.PACKET_PAYLOADS, 0.25),
         (who.ITERATE, 4.5, who.PACKET_ITERATE, 0.35))  # fmt: skip


def _coalesced(size: int) -> list[Target]:
    return [
        Target(
            f"{way.name}, {size} B, coalesced",
            "GRO floor",
            limit,
            _cost("drain", way, who.FLOOR_GRO, size, gso=True),
        )
        for way, limit, _, _ in _WAYS
    ]


def _packets(size: int) -> list[Target]:
    flood = ("flood", who.PACKET_COLUMNS.name, size, False), ("flood", who.FLOOR.name, size, False)
    return [
        *(_flooded(way.name, "recvmmsg floor", limit, way, who.FLOOR, size) for _, _, way, limit in _WAYS),
        Target(
            f"packet engine and its sender, {size} B, flood",
            "recvmmsg floor and its sender",
            0.85,
            _ratio(*flood, "both_ns"),
        ),
        _flooded(
            "packet engine, columns, coalesced",
            "GRO floor",
            0.6,
            who.PACKET_COLUMNS,
            who.FLOOR_GRO,
            size,
            gso=True,
        ),
    ]


def _sending(size: int) -> list[Target]:
    at = f"{size} B"
    return [
        Target(f"tx.send, {at}", "C sendto", 1.08, _cost("sending", who.SEND, who.FLOOR_SENDTO, size)),
        Target(
            f"send_many, mixed sizes, {at}", "sendmmsg floor", 1.05,
            _cost("sending", who.SEND_MANY_MIXED, who.FLOOR_MIXED, size),
        ),
        Target(
            f"send_many, equal sizes, {at}", "times faster than sendto", 20,
            _cost("sending", who.STDLIB_SENDTO, who.SEND_MANY, size), least=True,
        ),
    ]  # fmt: skip


def _latency(entry: Contestant) -> list[Target]:
    return [
        Target(f"latency of {entry.name} at 1,000/s, {key[:3]}", who.STDLIB_SMALL.name, limit,
               _lag(entry, who.STDLIB_SMALL, key))
        for key, limit in (("p50_ns", 1.0), ("p99_ns", 1.15))
    ]  # fmt: skip


TARGETS: list[Target] = [
    *(target for size in (100, 1316) for kind in (_receiving, _coalesced) for target in kind(size)),
    *_packets(100),
    Target("McastServer at 50,000/s", "lost", 0, _value("server", who.SERVER.name, 100, "lost"), unit=""),
    Target("for msg in rx at 50,000/s", "lost", 0, _value("server", who.ITERATE.name, 100, "lost"), unit=""),
    *_sending(100),
    *_sending(1316),
    *_latency(who.RECV),
    *_latency(who.ITERATE),
    Target(
        "latency of rx.recv() with spin at 1,000/s, p50", who.STDLIB_SMALL.name, 0.6,
        _lag(who.SPIN_RECV, who.STDLIB_SMALL, "p50_ns"),
    ),
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
    Target("import multicast", "import socket, logging", 1.1, _start("import multicast", "import socket, logging")),
    Target(
        "python3 -m multicast NOOP", "import socket, argparse, logging", 1.1,
        _start("python3 -m multicast NOOP", "import socket, argparse, logging"),
    ),
    Target(
        "python3 -m multicast --help", "import socket, argparse, logging", 1.5,
        _start("python3 -m multicast --help", "import socket, argparse, logging"),
    ),
    Target(
        "1,000 groups joined", "one group", 1.1,
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
