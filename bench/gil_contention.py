"""The speed of a computing thread with and without a receiving thread in its process.

The computing thread is pinned to one core and the receiving thread to the other, so that they share only the GIL.
"""

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import multicast
from bench.receivers.base import joined

# A computing thread releases the GIL every 5 ms: at 100,000/s, 500 datagrams are waiting each time.
_BATCH = 4096
_PATIENCE = 0.1


def _compute(seconds: float) -> int:
    """Count in pure Python for `seconds`; return the number of turns."""
    turns, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(1000):
            turns += 1
    return turns


class GilContention(ABC):
    """The computing thread (the current one) and, for `beside`, a receiving one."""

    def __init__(self, group: str, port: int) -> None:
        self.group, self.port = group, port
        self.got = 0
        self.opened, self.ended = threading.Event(), threading.Event()
        cores = sorted(os.sched_getaffinity(0))
        self._other = {cores[-1]}
        os.sched_setaffinity(0, {cores[0]})

    def alone(self, milliseconds: int) -> dict[str, object]:
        """Compute without a receiver."""
        return {"turns": _compute(milliseconds / 1000)}

    def beside(self, milliseconds: int) -> dict[str, object]:
        """Compute while another thread of this process receives."""
        with ThreadPoolExecutor(1) as pool:
            receiving = pool.submit(self._receive_pinned)
            self.opened.wait()
            turns, got = _compute(milliseconds / 1000), self.got
            self.ended.set()
            receiving.result()
        return {"turns": turns, "datagrams": got}

    def _receive_pinned(self) -> None:
        os.sched_setaffinity(0, self._other)
        try:
            self.receive()
        finally:
            self.opened.set()  # if opening failed, the result of the future raises the error

    @abstractmethod
    def receive(self) -> None:
        """Set `opened`, then count datagrams in `got` until `ended` is set."""


class BesideColumns(GilContention):
    """Batches whose datagrams never become Python objects."""

    def receive(self) -> None:
        with multicast.Receiver(self.group, self.port, interface="lo") as rx:
            self.opened.set()
            while not self.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    self.got += self.read(rx)

    def read(self, rx: multicast.Receiver) -> int:
        """Receive one batch; return the number of its datagrams."""
        return len(rx.recv_batch(limit=_BATCH, timeout=_PATIENCE))


class BesidePayloads(BesideColumns):
    """Batches converted to lists of bytes."""

    def read(self, rx: multicast.Receiver) -> int:
        return len(rx.recv_batch(limit=_BATCH, timeout=_PATIENCE).payloads())


class BesideStdlib(GilContention):
    """One `recvfrom` for each datagram, for comparison."""

    def receive(self) -> None:
        with joined(self.group, self.port) as sock:
            sock.settimeout(_PATIENCE)
            self.opened.set()
            while not self.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    sock.recvfrom(2048)
                    self.got += 1
