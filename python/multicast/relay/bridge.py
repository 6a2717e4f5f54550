"""``Relay``: datagrams from groups, unicast UDP and NATS to other groups, unicast UDP and NATS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import _arguments, endpoints
from .legs import GroupInput, GroupOutput, Input, Output, UdpInput, UdpOutput
from .memory import Memory
from .nats_legs import Connection, NatsInput, NatsOutput
from .places import (
    Destination,
    GroupPlace,
    NatsPlace,
    OriginalPlace,
    Source,
    UdpPlace,
    parse_destination,
    parse_source,
    refuse_link_scope,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .envelope import Carried

_DRAIN_SECONDS = 0.5
_MAX_BUFFER = 2**31 - 1
_ADDRESSES_VALID = 5.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a relay receives datagrams, and where it sends them.

    ::

        route = Route("239.1.2.3:5000%eth0", ("239.1.2.3:5000%eth1",))
        hub = Route("239.1.2.3:5000", ("nats://10.0.0.5/feeds",), ttl=2)
        back = Route("nats://10.0.0.5/feeds", ("original%eth0",))
        wire = Route("239.1.2.3:5000", ("udp://10.0.0.6:7000",))
        relay = Relay([route, hub])

    """

    source: str
    """An endpoint, ``udp://HOST:PORT`` or ``nats://HOST:PORT/SUBJECT``."""
    to: tuple[str, ...]
    """Where to send: the same kinds, and ``original%INTERFACE`` for the group that each datagram had."""
    ttl: int = 1
    """Time to live of what is sent to groups, from 1 to 255. It is less if the original had fewer hops left."""
    link_scope: bool = False
    """Whether to relay groups that routers never forward, such as 224.0.0.251."""
    buffer: int = 8 * 1024 * 1024
    """Maximum number of bytes that wait for each destination, at least 1."""


@dataclass(frozen=True, slots=True)
class LegStats:
    """The counters of one leg: from one source of a relay to one destination.

    ::

        for leg in relay.stats():
            print(f"{leg.source} -> {leg.to}: {leg.sent} of {leg.received}")
            missing = leg.dropped + leg.failed + leg.too_long
            if leg.lost or leg.lost_here or missing:
                print(f"lost on the way here {leg.lost}, here {leg.lost_here + missing}")

    ``received`` = ``sent`` + ``echoes`` + ``copies`` + ``dropped`` +
    ``failed`` + ``too_long`` + ``buffered``.
    """

    source: str
    """Where the leg begins."""
    to: str
    """Where it ends."""
    received: int
    """Datagrams received."""
    sent: int
    """Datagrams sent on."""
    echoes: int
    """Datagrams left out because another relay had sent them back."""
    copies: int
    """Envelopes that arrived twice."""
    lost: int
    """Datagrams that another relay sent to this one but that did not arrive. Over unicast UDP, this includes
    those that ``lost_here`` counts."""
    lost_here: int
    """Datagrams that this machine dropped before the relay could read them."""
    dropped: int
    """Datagrams dropped because the buffer was full."""
    failed: int
    """Datagrams that could not be sent because of an error."""
    too_long: int
    """Datagrams that do not fit into a message of the destination."""
    invalid: int
    """Messages that are not envelopes of a relay."""
    buffered: int
    """Datagrams that wait to be sent, or are being sent."""
    connected: bool | None
    """Whether the NATS server can be reached; None for a leg without one."""


@dataclass(slots=True)
class _Leg:
    source: Source
    to: Destination
    input: Input
    output: Output
    connections: list[Connection] = field(default_factory=list[Connection])


class Relay:
    """Forward datagrams between groups, unicast UDP and NATS.

    ::

        relay = Relay([Route("239.1.2.3:5000%eth0", ("nats://10.0.0.5/feeds",))])
        stop = asyncio.Event()
        await relay.run(stop)
        for leg in relay.stats():
            print(leg.source, leg.to, leg.sent, leg.lost)

    Over unicast UDP and NATS, each datagram travels in an envelope with its
    group, port, sender, TTL, receive time and a number, so that the relay
    at the other end can send it to the original group and count what is
    missing.

    A relay recognizes and skips what comes back: envelopes by the number of
    the relay that made them, and datagrams of groups because the same bytes
    arrive from another address within two seconds. As a consequence, if two
    independent senders send the same bytes to one group within two seconds,
    it skips the second datagram.

    Args:
        routes: The routes.
        nats: More options for ``nats.connect`` of nats-py, such as
            ``user_credentials`` or ``tls``.

    Raises:
        ValueError: A route is invalid. Nothing was opened.
    """

    def __init__(self, routes: Iterable[Route], *, nats: Mapping[str, Any] | None = None) -> None:
        self._routes = [(route, *places_of(route)) for route in routes]
        if not self._routes:
            raise ValueError("routes must name at least one route")
        self._nats = dict(nats or {})
        self._legs: list[_Leg] = []
        self._connections: dict[str, Connection] = {}
        self._memory = Memory()
        self._own: set[int] = set()
        self._inputs: list[Input] = []
        self._outputs: list[Output] = []
        self._has_run = False
        self._addresses: set[str] = set()
        self._looked = 0.0

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Relay until ``stop`` is set, or the task is cancelled.

        Datagrams that are still waiting are then sent, unless that takes more
        than half a second.

        Raises:
            OSError: A group cannot be joined, or an address cannot be used.
            ImportError: A route uses NATS, and nats-py is not installed.
            RuntimeError: The relay has run before. It runs once.
        """
        if self._has_run:
            raise RuntimeError("cannot run a relay twice (create another one)")
        self._has_run = True
        try:
            await self._run(stop or asyncio.Event(), self._open())
        finally:
            for source in self._inputs:
                source.close()
            for output in self._outputs:
                output.close()
            for connection in self._connections.values():
                await connection.close()

    async def _run(self, stop: asyncio.Event, inputs: list[tuple[Input, list[Output]]]) -> None:
        tasks = [asyncio.ensure_future(one.run(_fan_out(outputs))) for one, outputs in inputs]
        tasks += [asyncio.ensure_future(connection.run()) for connection in self._connections.values()]
        senders = [asyncio.ensure_future(output.run()) for output in self._outputs]
        waiting = asyncio.ensure_future(stop.wait())
        try:
            running = {waiting, *tasks, *senders}
            while not waiting.done():
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            await _cancel(waiting, *tasks)
            await asyncio.gather(*(one.stop_receiving() for one in self._connections.values()))
            for output in self._outputs:
                output.finish()
            _, stuck = await asyncio.wait(senders, timeout=_DRAIN_SECONDS)
            for output in self._outputs:
                output.give_up()
            await _cancel(*stuck)

    def stats(self) -> tuple[LegStats, ...]:
        """Return the counters of each leg. They keep their last values after `run`."""
        return tuple(_stats(leg) for leg in self._legs)

    @property
    def unreached(self) -> dict[str, str]:
        """The NATS servers and subjects that were never reached, each with its latest error, or "" if there was none.

        A server is given without its password. A subject is one to which
        the relay could not subscribe.
        """
        return {name: error for one in self._connections.values() for name, error in one.unreached.items()}

    def _open(self) -> list[tuple[Input, list[Output]]]:
        self._look_at_addresses()
        inputs: list[tuple[Input, list[Output]]] = []
        for route, source, targets in self._routes:
            outputs = [self._output(route, place) for place in targets]
            found = self._input(source)
            self._inputs.append(found)
            inputs.append((found, outputs))
            for place, output in zip(targets, outputs, strict=True):
                connections = [
                    self._connections[one.server] for one in (source, place) if isinstance(one, NatsPlace)
                ]
                self._legs.append(_Leg(source, place, found, output, connections))
        return inputs

    def _input(self, place: Source) -> Input:
        if isinstance(place, GroupPlace):
            return GroupInput(place, self._memory, self._is_own)
        if isinstance(place, UdpPlace):
            return UdpInput(place, self._memory, self._own)
        return NatsInput(place, self._connection(place.server), self._memory, self._own)

    def _output(self, route: Route, place: Destination) -> Output:
        output: Output
        if isinstance(place, (GroupPlace, OriginalPlace)):
            output = GroupOutput(place, route.buffer, route.ttl, self._memory, link_scope=route.link_scope)
        elif isinstance(place, UdpPlace):
            output = UdpOutput(place, route.buffer)
            self._own.add(output.number)
        else:
            output = NatsOutput(place, route.buffer, self._connection(place.server))
            self._own.add(output.number)
        self._outputs.append(output)
        return output

    def _connection(self, server: str) -> Connection:
        if server not in self._connections:
            self._connections[server] = Connection(server, self._nats)
        return self._connections[server]

    def _is_own(self, sender: tuple[str, int]) -> bool:
        """Return whether this relay itself has sent a datagram with this sender."""
        if not any(sender[1] in one.ports for one in self._outputs if isinstance(one, GroupOutput)):
            return False
        if monotonic() >= self._looked + _ADDRESSES_VALID:
            self._look_at_addresses()
        return sender[0].partition("%")[0] in self._addresses

    def _look_at_addresses(self) -> None:
        # Those that are gone stay: datagrams from them may still be on their way.
        self._addresses.update(address for one in _arguments.list_interfaces() for address in one.addresses)
        self._looked = monotonic()


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and wait until they have ended."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        # Again and again: nats-py loses a cancellation that arrives while it connects.
        _, running = await asyncio.wait(running, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)


def _fan_out(outputs: list[Output]) -> Any:
    def deliver(several: list[Carried]) -> None:
        for output in outputs:
            output.put(several)

    return deliver


def places_of(route: Route) -> tuple[Source, list[Destination]]:
    """Return the source and the destinations of a route, which are checked."""
    _arguments.whole_number("ttl", route.ttl, 1, 255)
    _arguments.whole_number("buffer", route.buffer, 1, _MAX_BUFFER)
    source = parse_source(route.source)
    targets = [parse_destination(text) for text in route.to]
    if not targets:
        raise ValueError(f"the route from {source} needs at least one destination")
    for place in targets:
        if targets.count(place) > 1:
            raise ValueError(f"the route from {source} must name each destination once, got {place} twice")
    for place in (source, *targets):
        if isinstance(place, GroupPlace) and not route.link_scope:
            for one in endpoints.expand(place.endpoint):
                refuse_link_scope(one.group)
        if place is not source and place == source:
            raise ValueError(f"a relay must not send to where it receives, {source}")
    return source, targets


def _stats(leg: _Leg) -> LegStats:
    found, output = leg.input, leg.output
    return LegStats(
        source=str(leg.source),
        to=str(leg.to),
        received=found.received,
        sent=output.sent,
        echoes=found.echoes,
        copies=found.copies,
        lost=found.account.lost,
        lost_here=found.lost_here,
        dropped=output.dropped,
        failed=output.failed,
        too_long=output.too_long,
        invalid=found.invalid,
        buffered=output.buffered,
        connected=all(one.is_connected for one in leg.connections) if leg.connections else None,
    )
