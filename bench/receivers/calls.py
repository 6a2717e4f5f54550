"""Libraries with one blocking call a datagram; here the standard library's own socket."""

from collections.abc import Callable
from typing import Any

from bench.receivers.base import Reader, age, joined
from bench.stop import Stop

# The least room that is enough for the sizes sent here, and the room that truncates nothing, as we promise.
SMALL, WHOLE = 2048, 65_535


class Calls(Reader):
    """`receive(room)` gives data and sender, again and again."""

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
        receive, room, samples = self._receive, self._room, []
        try:
            while True:
                data, _sender = receive(room)
                samples.append(age(data))
        except Stop:
            return samples


def whole(group: str, port: int) -> Reader:
    """`recvfrom` that truncates nothing."""
    return Calls(joined(group, port).recvfrom, WHOLE)


def small(group: str, port: int) -> Reader:
    """`recvfrom` that knows its datagrams to be small."""
    return Calls(joined(group, port).recvfrom, SMALL)
