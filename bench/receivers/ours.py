"""The modern receiver, in each way that it can be read."""

import contextlib
import itertools
import socket

import multicast
from bench.receivers.base import Reader, age
from bench.stop import Stop


class Ours(Reader):
    """What the ways share."""

    lean = False
    """Told nothing but the sender."""

    def __init__(self, group: str, port: int) -> None:
        told = not self.lean
        self.rx = multicast.Receiver(group, port, interface="lo", timestamps=told, receive_ttl=told, gro=told)

    def counters(self) -> dict[str, object]:
        return {"kernel_drops": self.rx.stats().kernel_drops}


class Columns(Ours):
    """Batches, read as columns: three buffers a batch, nothing made for a datagram."""

    def take(self, count: int) -> int:
        left = count
        while left > 0:
            batch = self.rx.recv_batch()
            _columns = batch.data, batch.offsets, batch.lengths
            left -= len(batch)
        return count - left

    def listen(self) -> int:
        got = 0
        try:
            while True:
                batch = self.rx.recv_batch()
                _columns = batch.data, batch.offsets, batch.lengths
                got += len(batch)
        except Stop:
            return got


class Groups(Columns):
    """A thousand groups on one receiver: the first, and those that follow it in number."""

    def __init__(self, group: str, port: int) -> None:
        first = int.from_bytes(socket.inet_aton(group), "big")
        names = [socket.inet_ntoa((first + i).to_bytes(4, "big")) for i in range(1000)]
        self.rx = multicast.Receiver(names, port, interface="lo")


class Payloads(Ours):
    """Batches, turned into a list of bytes."""

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
    """The plain loop, with the data and the sender of every datagram looked at."""

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
                samples.append(age(msg.data))  # noqa: PERF401 - a comprehension cut short would lose them all
        return samples


class Recv(Ours):
    """One call a datagram."""

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
        receive, samples = self.rx.recv, []
        try:
            while True:
                samples.append(age(receive().data))
        except Stop:
            return samples


class LeanColumns(Columns):
    """Told less."""

    lean = True


class LeanPayloads(Payloads):
    """Told less."""

    lean = True


class LeanIterate(Iterate):
    """Told less."""

    lean = True
