"""What a receiver weighs: resident memory when it is opened, and over millions of datagrams."""

import os
from pathlib import Path

import multicast
from bench.stop import Stop

_PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class MemoryProbe:
    """A receiver at its default settings, opened after the first weighing."""

    def __init__(self, group: str, port: int) -> None:
        self._before = resident()
        self.rx = multicast.Receiver(group, port, interface="lo")

    def added(self) -> dict[str, object]:
        """Bytes that the receiver has added, once it has received until told to stop."""
        got, _weights = self._drain(10_000)
        return {"datagrams": got, "added": resident() - self._before}

    def watch(self, step: int) -> dict[str, object]:
        """Receive until told to stop; tell by how many bytes the process grew, weighed every `step` datagrams.

        Counted from the second weighing (by then the allocator has its working set) to the heaviest later one.
        """
        got, weights = self._drain(step)
        later = weights[2:] or [resident()]
        return {"datagrams": got, "grown": max(later) - (weights[1] if len(weights) > 1 else self._before)}

    def _drain(self, step: int) -> tuple[int, list[int]]:
        got, due, weights = 0, step, []
        try:
            while True:
                got += len(self.rx.recv_batch().payloads())
                if got >= due:
                    weights.append(resident())
                    due = got + step
        except Stop:
            return got, weights
