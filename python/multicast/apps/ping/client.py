"""The client: it sends requests, and collects the replies of every host."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..._common.constants import PING_PORT
from .message import parse, request
from .port import TTL, Member
from .results import HostResult, KindResult, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..._core import Datagram
    from ...endpoints import Endpoint
    from .results import Kind

_PERIOD = 0.1


class Ping(Member):
    """Ping a group: everybody in it that runs a responder, or one source that runs one. A context manager.

    ::

        with Ping(multicast.Endpoint("239.2.2.2", interface="eth0")) as ping:
            for reply in ping.replies(5):
                print(reply.host, reply.kind, reply.time_ms)
            for host in ping.hosts.values():
                print(host.host, host.multicast.loss_percent)

    Without a source, requests go to the group, and everybody in it answers. With one, they go to this source alone,
    which answers to this host and to the group.

    Args:
        endpoint: the group, and optionally the port of the responders (otherwise 4321), the interface and one source.

    Attributes:
        hosts: the results of each host that has answered, by address.
        sent: the number of requests, including those in ``refused``.
        refused: the number of requests that this machine could not send. They count as lost.

    Raises:
        ValueError: The endpoint has several groups or sources.
        OSError: The group cannot be joined.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        if len(endpoint.sources) > 1:
            raise ValueError(f"source must be one address, got {', '.join(endpoint.sources)}")
        super().__init__(replace(endpoint, port=None), 0)
        self.hosts: dict[str, HostResult] = {}
        self.sent = self.refused = 0
        self._refusal: str | None = None
        self._target = endpoint.sources[0] if endpoint.sources else endpoint.group
        self._target_port = PING_PORT if endpoint.port is None else endpoint.port
        self._client = secrets.randbits(32)
        self._times_ns: dict[int, int] = {}

    def replies(
        self,
        count: int | None,
        *,
        interval: float = 1.0,
        wait: float = 1.0,
        is_over: Callable[[], bool] = lambda: False,
        on_refusal: Callable[[str | None], None] = lambda _: None,
    ) -> Iterator[Reply]:
        """Send requests, and yield the replies as they arrive.

        Args:
            count: requests to send; None sends them until ``is_over`` returns true.
            interval: seconds between requests, above 0.
            wait: seconds to wait for replies after the last request.
            is_over: called at least every 0.1 s; ends the ping early when it returns true.
            on_refusal: called with the reason when a request cannot be sent, unless the one before failed for the same
                reason, and with None when a request can be sent again.

        Raises:
            ValueError: ``interval`` is not above 0.
            OSError: The first request cannot be sent, or the system refuses to receive.
        """
        if not interval > 0:
            raise ValueError(f"interval must be above 0, got {interval:g}")
        start = time.monotonic()
        due = start
        while not is_over():
            now = time.monotonic()
            if now >= due:
                if count is not None and self.sent >= count:
                    return
                self._request(on_refusal)
                is_last = count is not None and self.sent >= count
                due = now + wait if is_last else start + self.sent * interval
            datagram = self._port.receive(max(0.0, min(due - time.monotonic(), _PERIOD)))
            reply = None if datagram is None else self._take(datagram)
            if reply is not None:
                yield reply

    def _request(self, on_refusal: Callable[[str | None], None]) -> None:
        self.sent += 1
        now = time.time_ns()
        self._times_ns[self.sent] = now
        for host in self.hosts.values():
            host.unicast.sent = host.multicast.sent = self.sent
        data = request(self._client, self.sent, now / 1e9, self._group)
        refusal = None
        try:
            self._port.send(data, self._target, self._target_port)
        except OSError as error:
            # An interface that is down may come back. A first request that fails is a mistake in the endpoint.
            if self.sent == 1:
                advice = self._port.advice(error.errno)
                raise OSError(error.errno, f"{error.strerror} ({advice})") from error
            self.refused += 1
            refusal = error.strerror
        if refusal != self._refusal:
            self._refusal = refusal
            on_refusal(refusal)

    def _take(self, datagram: Datagram) -> Reply | None:
        """Return the reply in a datagram and count it; None if it is no reply to this client."""
        message = parse(datagram.data)
        if message is None or not message.is_reply or message.client != self._client:
            return None
        sent_ns = self._times_ns.get(message.sequence)
        if sent_ns is None:
            return None
        host = self.hosts.setdefault(
            datagram.sender[0],
            HostResult(datagram.sender[0], KindResult(self.sent), KindResult(self.sent)),
        )
        kind: Kind = "multicast" if datagram.group == self._group else "unicast"
        arrived_ns = datagram.timestamp_ns or time.time_ns()
        result = host.of(kind)
        is_duplicate = message.sequence in result.times_ms
        time_ms = max(0, arrived_ns - sent_ns) / 1e6
        result.duplicates += is_duplicate
        result.times_ms.setdefault(message.sequence, time_ms)
        result.hops = None if datagram.ttl is None or datagram.ttl > TTL else TTL - datagram.ttl
        return Reply(host.host, kind, message.sequence, time_ms, result.hops, is_duplicate)
