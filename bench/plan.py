"""The amount of work: the full comparison, and a small one for a test."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Counts are datagrams; rates are datagrams per second. Every run ends by itself."""

    rounds: int
    sizes: tuple[int, ...]
    drain: int
    """queued, then read, in each round; ten times this number if they are coalesced"""
    flood: int
    sending: int
    server: int
    """sent to McastServer, and to the plain loop, at 50,000/s"""
    published: int
    """sent to the published McastServer, and to ours, at 200/s; twenty times this number at 20,000/s"""
    latency: int
    """sent at 1,000/s"""
    busy_ms: int
    starts: int
    """programs started in each round"""
    memory: int
    counted: int
    """received, and sent, while system calls and allocations are counted"""

    @property
    def cores(self) -> tuple[int, int]:
        """The processors of the contestant and of the traffic; the same one if there is only one."""
        usable = sorted(os.sched_getaffinity(0))
        return usable[0], usable[-1]


FULL = Plan(
    rounds=5, sizes=(100, 1316), drain=50_000, flood=200_000, sending=50_000, server=500_000, published=1_000,
    latency=2_000, busy_ms=1_500, starts=5, memory=10_000_000, counted=6_400,
)  # fmt: skip

QUICK = Plan(
    rounds=1, sizes=(100, 1316), drain=2_000, flood=4_000, sending=2_000, server=5_000, published=40,
    latency=100, busy_ms=100, starts=1, memory=200_000, counted=2_560,
)  # fmt: skip
