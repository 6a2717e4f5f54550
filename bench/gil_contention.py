"""A thread that computes, with and without a receiver in its process: what receiving costs everyone else.

The computing thread is pinned to one core and the receiving thread to the other, so that they share nothing but
the interpreter's lock.
"""

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import multicast
from bench.receivers.base import joined

# A computing thread gives the lock up every 5 ms: at 100,000/s that is 500 datagrams a turn.
_BATCH = 4096
_PATIENCE = 0.1


def _compute(seconds: float) -> int:
    """Spin in pure Python for `seconds`; return how many turns were made."""
    turns, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(1000):
            turns += 1
    return turns


class GilContention(ABC):
    """The computing thread (this one) and, for `beside`, a receiving one."""

    def __init__(self, group: str, port: int) -> None:
        self.group, self.port = group, port
        self.got = 0
        self.opened, self.ended = threading.Event(), threading.Event()
        cores = sorted(os.sched_getaffinity(0))
        self._other = {cores[-1]}
        os.sched_setaffinity(0, {cores[0]})

    def alone(self, milliseconds: int) -> dict[str, object]:
        """Compute for so long, nobody receiving."""
        return {"turns": _compute(milliseconds / 1000)}

    def beside(self, milliseconds: int) -> dict[str, object]:
        """Compute for so long while a thread of this process receives all that comes."""
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
            self.opened.set()  # nobody waits for a receiver that could not be opened

    @abstractmethod
    def receive(self) -> None:
        """Set `opened`, then count into `got` until `ended` is set."""


class BesideColumns(GilContention):
    """Batches whose datagrams are never made into objects."""

    def receive(self) -> None:
        with multicast.Receiver(self.group, self.port, interface="lo") as rx:
            self.opened.set()
            while not self.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    self.got += self.read(rx)

    def read(self, rx: multicast.Receiver) -> int:
        """One batch; how many datagrams it held."""
        return len(rx.recv_batch(limit=_BATCH, timeout=_PATIENCE))


class BesidePayloads(BesideColumns):
    """Batches that become lists of bytes."""

    def read(self, rx: multicast.Receiver) -> int:
        return len(rx.recv_batch(limit=_BATCH, timeout=_PATIENCE).payloads())


class BesideStdlib(GilContention):
    """One `recvfrom` a datagram, for comparison."""

    def receive(self) -> None:
        with joined(self.group, self.port) as sock:
            sock.settimeout(_PATIENCE)
            self.opened.set()
            while not self.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    sock.recvfrom(2048)
                    self.got += 1
