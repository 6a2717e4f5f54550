"""Libraries with one blocking call for each datagram; here the socket of the standard library."""

from collections.abc import Callable
from typing import Any

from bench.receivers.base import Reader, age, joined
from bench.stop import Stop

# A buffer that is large enough for the sizes sent here, and one that truncates nothing, as `multicast` promises.
SMALL, WHOLE = 2048, 65_535


class Calls(Reader):
    """`receive(room)` returns data and sender."""

    def __init__(self, receive: Callable[[int], Any], room: int) -> None:
        self._receive = receive
        self._room = room

    def take(self, count: int) -> int:
        receive, room = self._receive, self._room
        for _ in range(count):
            _data, _sender = receive(room)
        return count

    def listen(self) -> int:
        receive, room, got = self._receive, self._room, 0
        try:
            while True:
                _data, _sender = receive(room)
                got += 1
        except Stop:
            return got

    def latency(self) -> list[int]:
        receive, room, samples = self._receive, self._room, list[int]()
        try:
            while True:
                data, _sender = receive(room)
                samples.append(age(data))
        except Stop:
            return samples


def whole(group: str, port: int) -> Reader:
    """Return a `recvfrom` loop that truncates nothing."""
    return Calls(joined(group, port).recvfrom, WHOLE)


def small(group: str, port: int) -> Reader:
    """Return a `recvfrom` loop for small datagrams."""
    return Calls(joined(group, port).recvfrom, SMALL)
