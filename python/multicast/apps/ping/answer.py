"""The responder: it answers requests, once to the client alone and once to the group."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._common.constants import PING_PORT
from ..._core import __version__
from .message import DEFAULT_GROUP, Message, parse, reply
from .port import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..._core import Datagram
    from ...endpoints import Endpoint

_PERIOD = 0.1
_VERSION = f"multicast {__version__}"
# Requests answered in a second, so that nobody can use the responder to flood a network.
_MOST_PER_SECOND = 1000
# ssmpingd answers to any group that ends like its own: 232.43.211.234, ff3e::4321:1234.
_IPV4_END, _IPV6_END = 234, 0x4321_1234


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was answered."""

    client: str
    """The address of the client."""
    sequence: int
    group: str | None
    """The group that was answered to; None if the request names one that this responder does not serve."""
    error: str | None = None
    """The reason why an answer could not be sent; None if all were sent."""


class Responder(Member):
    """Answer the requests for a group and those sent to this host alone. A context manager.

    ::

        with Responder(multicast.Endpoint("239.2.2.2", interface="eth0")) as responder:
            for answer in responder.answers(lambda: False):
                print("answered", answer.client)

    Args:
        endpoint: the group, and optionally the port (otherwise 4321), the interface and the sources.

    Raises:
        ValueError: The endpoint has several groups.
        OSError: The group cannot be joined.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint, PING_PORT if endpoint.port is None else endpoint.port)

    def answers(self, is_over: Callable[[], bool]) -> Iterator[Answer]:
        """Answer requests, and yield each that was answered, until ``is_over`` returns true.

        Raises:
            OSError: The system refuses to receive.
        """
        second, answered = 0, 0
        while not is_over():
            datagram = self._port.receive(_PERIOD)
            asked = None if datagram is None else parse(datagram.data)
            if datagram is None or asked is None or asked.is_reply:
                continue
            now = int(time.monotonic())
            second, answered = now, answered + 1 if now == second else 1
            if answered <= _MOST_PER_SECOND:
                yield self._answer(datagram, asked)

    def _answer(self, datagram: Datagram, asked: Message) -> Answer:
        client, port = datagram.sender
        data = reply(asked, _VERSION)
        group = asked.group or DEFAULT_GROUP[self._port.version]
        served = group if self._serves(group) else None
        try:
            for target in (client, served):
                if target is not None:
                    self._port.send(data, target, port)
        except OSError as error:
            # No route back to this client, for example: the others are answered all the same.
            return Answer(client, asked.sequence, served, error.strerror)
        return Answer(client, asked.sequence, served)

    def _serves(self, group: str) -> bool:
        """Return whether a request may name this group: the one joined, or one of those that ssmpingd serves."""
        address = ipaddress.ip_address(group)
        if address.version != self._port.version:
            return False
        end = (
            address.packed[-1] == _IPV4_END
            if address.version == 4
            else int(address) & 0xFFFF_FFFF == _IPV6_END
        )
        return group == self._group or end
