"""Measure streams with numbers: losses with their owner, order, rate, jitter and one-way delay."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from ..sync import interfaces
from .streams import Streams

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from .._core import Batch
    from ..sync import Receiver
    from ..types import ReceiverStats
    from .streams import Gap, Stream


@dataclasses.dataclass(frozen=True, slots=True)
class Delay:
    """Percentiles of the one-way delay, in microseconds."""

    p50: float
    p99: float
    p999: float
    max: float
    meaning: Literal["absolute", "above-minimum"]
    """Whether sender and receiver share a clock. If not, the shortest delay counts as 0."""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The measurement of one stream."""

    sender: str
    sender_port: int
    group: str | None
    port: int
    kind: str
    """"numbered", "rtp", "mpegts", "iperf" or "unknown"."""
    received: int
    """Datagrams received, duplicates included."""
    lost: int
    """Datagrams lost anywhere: the sum of the three that follow."""
    lost_network: int
    """Datagrams that did not reach this machine."""
    lost_kernel: int
    """Datagrams that the kernel of this machine dropped because the receive buffer was full."""
    lost_program: int
    """Datagrams that this program dropped because it was too slow."""
    duplicates: int
    """Datagrams received again."""
    reordered: int
    """Datagrams received after a later one."""
    gaps: tuple[Gap, ...]
    """The missing numbers."""
    restarts: int
    """How often the sender has started again."""
    rate_pps: float
    """Datagrams received per second, from the first to the last."""
    jitter_us: float | None
    """Interarrival jitter (RFC 3550) in microseconds; None if the stream has no times."""
    delay: Delay | None
    """The one-way delay; None if the stream has no times of sending."""


class Measurement:
    """Streams of receivers, and what the receivers dropped."""

    def __init__(self, receivers: Iterable[Receiver]) -> None:
        self._streams = {receiver: Streams() for receiver in receivers}

    def add(self, receiver: Receiver, batch: Batch) -> None:
        """Account for a batch of one of the receivers."""
        self._streams[receiver].add(batch, receiver.port, time.time_ns())

    def results(self) -> list[Result]:
        """Return the measurement of each stream so far."""
        local = {address for one in interfaces() for address in one.addresses}
        return [
            _result(
                stream,
                kernel,
                program,
                gaps=streams.gaps(number),
                delay=_delay(streams, number, stream, local),
            )
            for receiver, streams in self._streams.items()
            for number, (stream, kernel, program) in enumerate(
                with_drops(streams.look(), *drops(receiver.stats()))
            )
        ]


def drops(stats: ReceiverStats) -> tuple[int, int]:
    """Return how many datagrams the kernel and the program dropped."""
    return stats.kernel_drops or 0, stats.ring_drops


def with_drops(streams: list[Stream], kernel_drops: int, ring_drops: int) -> list[tuple[Stream, int, int]]:
    """Return each stream of a receiver, and how many of its datagrams the kernel and the program dropped.

    The counters are those of the receiver. Several streams share them in proportion to their losses, or to what was
    received of them if no loss is visible.
    """
    weights = [stream.lost or 0 for stream in streams]
    if not any(weights):
        weights = [stream.received for stream in streams]
    return list(zip(streams, share(kernel_drops, weights), share(ring_drops, weights), strict=True))


def share(count: int, weights: list[int]) -> list[int]:
    """Return ``count`` divided in proportion to ``weights``, in whole numbers whose sum is exact."""
    shares: list[int] = []
    whole, given, seen = sum(weights), 0, 0
    for weight in weights:
        seen += weight
        shares.append(count * seen // whole - given)
        given += shares[-1]
    return shares


def _result(stream: Stream, kernel: int, program: int, *, gaps: list[Gap], delay: Delay | None) -> Result:
    network = max(0, (stream.lost or 0) - kernel - program)
    seconds = (stream.last_ns - stream.first_ns) / 1e9
    return Result(
        sender=stream.sender,
        sender_port=stream.sender_port,
        group=stream.group,
        port=stream.port,
        kind=stream.kind,
        received=stream.received,
        lost=network + kernel + program,
        lost_network=network,
        lost_kernel=kernel,
        lost_program=program,
        duplicates=stream.duplicates or 0,
        reordered=stream.reordered or 0,
        gaps=tuple(gaps),
        restarts=stream.restarts,
        rate_pps=(stream.received - 1) / seconds if seconds > 0 else 0.0,
        jitter_us=stream.jitter_us,
        delay=delay,
    )


def _delay(streams: Streams, number: int, stream: Stream, local: set[str]) -> Delay | None:
    found = streams.delays(number, (50, 99, 99.9))
    if found is None or stream.delays_ns is None:
        return None
    shares_clock = stream.sender.partition("%")[0] in local
    first, lowest, highest = stream.delays_ns
    offset = first if shares_clock else -lowest
    p50, p99, p999, most = (max(0, one + offset) / 1000 for one in (*found, highest))
    return Delay(p50, p99, p999, most, meaning="absolute" if shares_clock else "above-minimum")
