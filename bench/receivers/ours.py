"""`multicast.Receiver`, in each way that it can be read."""

import contextlib
import itertools
import socket
from collections import deque
from typing import Literal

import multicast
from bench.receivers.base import Reader, age
from bench.stop import Stop


class Ours(Reader):
    """Common parts of the ways to read."""

    lean = False
    """Whether to request no metadata but the sender."""
    engine: Literal["socket", "packet"] = "socket"
    spin = 0.0

    def __init__(self, group: str, port: int) -> None:
        full = not self.lean
        self.rx = multicast.Receiver(
            group,
            port,
            interface="lo",
            timestamps=full,
            receive_ttl=full,
            gro=full,
            engine=self.engine,
            spin=self.spin,
        )

    def counters(self) -> dict[str, object]:
        return {"kernel_drops": self.rx.stats().kernel_drops}


class Columns(Ours):
    """Batches read as columns: three buffers for each batch, and no object for each datagram."""

    def read(self) -> multicast.Batch:
        """Receive one batch."""
        return self.rx.recv_batch()

    def take(self, count: int) -> int:
        left = count
        while left > 0:
            batch = self.read()
            _columns = batch.data, batch.offsets, batch.lengths
            left -= len(batch)
        return count - left

    def listen(self) -> int:
        got = 0
        try:
            while True:
                batch = self.read()
                _columns = batch.data, batch.offsets, batch.lengths
                got += len(batch)
        except Stop:
            return got


class Groups(Columns):
    """One receiver of 1,000 groups, with consecutive addresses."""

    def __init__(self, group: str, port: int) -> None:
        first = int.from_bytes(socket.inet_aton(group), "big")
        names = [socket.inet_ntoa((first + i).to_bytes(4, "big")) for i in range(1000)]
        self.rx = multicast.Receiver(names, port, interface="lo")


class LingerColumns(Columns):
    """The same, gathering for a moment after the first datagram of each batch."""

    def read(self) -> multicast.Batch:
        return self.rx.recv_batch(4096, linger=0.0002)


class HeldColumns(Columns):
    """The same by a program that still works on earlier batches."""

    def __init__(self, group: str, port: int) -> None:
        super().__init__(group, port)
        self._held = deque[multicast.Batch](maxlen=32)

    def read(self) -> multicast.Batch:
        batch = self.rx.recv_batch()
        self._held.append(batch)
        return batch


class Payloads(Ours):
    """Batches converted to lists of bytes."""

    def take(self, count: int) -> int:
        left = count
        while left > 0:
            left -= len(self.rx.recv_batch().payloads())
        return count - left

    def listen(self) -> int:
        got = 0
        try:
            while True:
                got += len(self.rx.recv_batch().payloads())
        except Stop:
            return got


class Iterate(Ours):
    """The `for` loop, which reads the data and the sender of each datagram."""

    def take(self, count: int) -> int:
        for msg in itertools.islice(self.rx, count):
            _data, _sender = msg.data, msg.sender
        return count

    def listen(self) -> int:
        got = 0
        with contextlib.suppress(Stop):
            for msg in self.rx:
                _data, _sender = msg.data, msg.sender
                got += 1
        return got

    def latency(self) -> list[int]:
        samples: list[int] = []
        with contextlib.suppress(Stop):
            for msg in self.rx:
                samples.append(age(msg.data))  # noqa: PERF401 - Stop would discard the list of a comprehension
        return samples


class Recv(Ours):
    """One call for each datagram."""

    def take(self, count: int) -> int:
        receive = self.rx.recv
        for _ in range(count):
            msg = receive()
            _data, _sender = msg.data, msg.sender
        return count

    def listen(self) -> int:
        receive, got = self.rx.recv, 0
        try:
            while True:
                msg = receive()
                _data, _sender = msg.data, msg.sender
                got += 1
        except Stop:
            return got

    def latency(self) -> list[int]:
        receive, samples = self.rx.recv, list[int]()
        try:
            while True:
                samples.append(age(receive().data))
        except Stop:
            return samples


class SpinRecv(Recv):
    """The same, looking again and again for the next datagram."""

    spin = 0.01


class LeanColumns(Columns):
    """The same without metadata."""

    lean = True


class LeanPayloads(Payloads):
    """The same without metadata."""

    lean = True


class LeanIterate(Iterate):
    """The same without metadata."""

    lean = True
