"""The resident memory of a receiver: when it is opened, and over millions of datagrams."""

import os
from pathlib import Path

import multicast
from bench.stop import Stop

_PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class MemoryProbe:
    """A receiver with default settings, opened after the first measurement."""

    def __init__(self, group: str, port: int) -> None:
        self._before = resident()
        self.rx = multicast.Receiver(group, port, interface="lo")

    def added(self) -> dict[str, object]:
        """Receive until `Stop`; return the bytes that the receiver added to the process."""
        got, _sizes = self._drain(10_000)
        return {"datagrams": got, "added": resident() - self._before}

    def watch(self, step: int) -> dict[str, object]:
        """Receive until `Stop`; return by how many bytes the process grew, measured every `step` datagrams.

        The growth is counted from the second measurement, when the allocator has its working set, to the largest later
        one.
        """
        got, sizes = self._drain(step)
        later = sizes[2:] or [resident()]
        return {"datagrams": got, "grown": max(later) - (sizes[1] if len(sizes) > 1 else self._before)}

    def _drain(self, step: int) -> tuple[int, list[int]]:
        got, due, sizes = 0, step, list[int]()
        try:
            while True:
                got += len(self.rx.recv_batch().payloads())
                if got >= due:
                    sizes.append(resident())
                    due = got + step
        except Stop:
            return got, sizes
