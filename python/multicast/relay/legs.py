"""Inputs and outputs of a relay: groups and unicast UDP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import secrets
import socket
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import _arguments, aio, endpoints
from .envelope import OVERHEAD, Account, Carried, pack, unpack
from .places import GroupPlace, OriginalPlace, refuse_link_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from .memory import Memory
    from .places import UdpPlace

    Deliver = Callable[[list[Carried]], None]

_logger = logging.getLogger("multicast")

RING = 65536
BATCH = 1024
# The most payload of a datagram over IPv4 and over IPv6.
_MAX_DATAGRAM = 65507
_MAX_SENDERS = 1024
_IDLE = 1.0
"""Seconds after which an output that sends nothing repeats its latest number."""


class Input:
    """Something that a relay receives from.

    Attributes:
        received: datagrams received, with echoes and copies.
        echoes: datagrams that came back from another relay, and were left out.
        invalid: messages that are not envelopes.
        copies: envelopes received twice.
    """

    def __init__(self) -> None:
        self.received = self.echoes = self.invalid = self.copies = 0
        self.account = Account()

    async def run(self, deliver: Deliver) -> None:
        """Receive, and deliver what is to be sent on, until it is cancelled."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the sockets."""

    @property
    def lost_here(self) -> int:
        """Datagrams that this machine dropped."""
        return 0

    def open_envelopes(self, envelopes: list[bytes], own: set[int], memory: Memory) -> list[Carried]:
        """Return the datagrams in envelopes, without copies and echoes."""
        found: list[Carried] = []
        for data in envelopes:
            try:
                opened = unpack(data)
            except ValueError:
                self.invalid += 1
                continue
            if opened.relay in own:
                self.echoes += opened.carried is not None
                self.received += opened.carried is not None
                continue
            is_new = self.account.note(opened)
            if opened.carried is None:
                continue
            self.received += 1
            if not is_new:
                self.copies += 1
            elif memory.was_heard(opened.carried):
                self.echoes += 1
            else:
                found.append(opened.carried)
        return found


class _SocketInput(Input):
    """An input that reads sockets of this machine."""

    def __init__(self, receiver: aio.Receiver) -> None:
        super().__init__()
        self._receiver = receiver

    def close(self) -> None:
        """Close the sockets."""
        self._receiver.close()

    @property
    def lost_here(self) -> int:
        """Datagrams that this machine dropped."""
        stats = self._receiver.stats()
        return (stats.kernel_drops or 0) + stats.ring_drops


class GroupInput(_SocketInput):
    """The datagrams of a group."""

    def __init__(self, place: GroupPlace, memory: Memory, is_own: Callable[[tuple[str, int]], bool]) -> None:
        super().__init__(aio.Receiver(place.endpoint, ring=RING, gro=False))
        self._memory = memory
        self._is_own = is_own

    async def run(self, deliver: Deliver) -> None:
        """Receive, and deliver what is to be sent on, until it is cancelled."""
        port = self._receiver.port
        async for batch in self._receiver.batches(BATCH):
            found: list[Carried] = []
            for one in batch:
                carried = Carried(
                    one.data, one.group or "", port, one.sender, one.ttl or 0, one.timestamp_ns or 0
                )
                if self._is_own(carried.sender) or self._memory.is_echo(carried):
                    self.echoes += 1
                else:
                    found.append(carried)
            self.received += len(batch)
            deliver(found)


class UdpInput(_SocketInput):
    """Envelopes that another relay sends to an address of this machine."""

    def __init__(self, place: UdpPlace, memory: Memory, own: set[int]) -> None:
        family, kind, number, address = _resolve(place)
        with socket.socket(family, kind, number) as sock:
            super().__init__(
                aio.Receiver.adopt(
                    sock,
                    (),
                    place.port,
                    bind=address[0],
                    share=False,
                    strict=False,
                    recv_buffer="auto",
                    ring=RING,
                )
            )
        self._memory, self._own = memory, own

    async def run(self, deliver: Deliver) -> None:
        """Receive, and deliver what is to be sent on, until it is cancelled."""
        async for batch in self._receiver.batches(BATCH):
            deliver(self.open_envelopes(batch.payloads(), self._own, self._memory))


class Output:
    """Something that a relay sends to, with a bounded buffer.

    Args:
        buffer: the most payload bytes that wait.

    Attributes:
        sent: datagrams sent.
        dropped: datagrams that found the buffer full.
        failed: datagrams that could not be sent because of an error.
        too_long: datagrams that do not fit into one message.
    """

    def __init__(self, buffer: int) -> None:
        self.sent = self.dropped = self.failed = self.too_long = 0
        self._accepted = 0
        self._most = buffer
        self._bytes = 0
        self._waiting: deque[Carried] = deque()
        self._ready = asyncio.Event()
        self._complained = -10.0
        self._is_finishing = self._is_over = False

    @property
    def buffered(self) -> int:
        """Datagrams that wait to be sent, with those that are being sent."""
        return self._accepted - self.sent - self.failed - self.too_long

    def put(self, several: list[Carried]) -> None:
        """Take datagrams to send. Those that find the buffer full are dropped and counted."""
        for one in several:
            size = len(one.data) + OVERHEAD
            if self._bytes + size > self._most:
                self.dropped += 1
            else:
                self._bytes += size
                self._accepted += 1
                self._waiting.append(one)
        if self._waiting:
            self._ready.set()

    async def run(self) -> None:
        """Send what is put, until `finish` was called and nothing waits, or `give_up` was called."""
        # Other relays count from the first number that they see.
        await self.repeat_number()
        while not self._is_over and (self._waiting or not self._is_finishing):
            if not self._waiting:
                self._ready.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._ready.wait(), _IDLE)
            if self._waiting:
                await self.send_some()
            else:
                # At the end as well, after the last datagram.
                await self.repeat_number()

    def finish(self) -> None:
        """Let `run` end when nothing waits any more."""
        self._is_finishing = True
        self._ready.set()

    def give_up(self) -> None:
        """Let `run` end when it sends the next time. A cancellation is not enough, because nats-py ignores some."""
        self._is_over = True

    async def send_some(self) -> None:
        """Send some of what waits; there is at least one datagram."""
        raise NotImplementedError

    async def repeat_number(self) -> None:
        """Send the latest number, if the output numbers what it sends: the other end notices what is missing."""

    def close(self) -> None:
        """Close the sockets."""

    def take(self, most: int, size: float = math.inf) -> list[Carried]:
        """Take some of what waits: at most this many datagrams and bytes, but at least one datagram."""
        taken: list[Carried] = []
        total = 0
        while self._waiting and len(taken) < most:
            needed = len(self._waiting[0].data) + OVERHEAD
            if taken and total + needed > size:
                break
            total += needed
            taken.append(self._waiting.popleft())
        self._bytes -= total
        return taken

    def complain(self, error: BaseException, count: int) -> None:
        """Count datagrams that were not sent, and log the reason, at most every 5 seconds."""
        self.failed += count
        if count and monotonic() >= self._complained + 5.0:
            self._complained = monotonic()
            _logger.warning("The relay did not send %d datagrams: %s", count, error)


class GroupOutput(Output):
    """A group, or the group that each datagram had.

    Datagrams are sent with a TTL of ``ttl``, or of one hop less than they had left, but not less than 1.
    """

    def __init__(
        self,
        place: GroupPlace | OriginalPlace,
        buffer: int,
        ttl: int,
        memory: Memory,
        *,
        link_scope: bool,
    ) -> None:
        super().__init__(buffer)
        self._place, self._ttl, self._memory, self._link_scope = place, ttl, memory, link_scope
        self._senders: dict[tuple[str, int, int], aio.Sender] = {}
        self.ports: set[int] = set()
        if isinstance(place, GroupPlace):
            # An error in the endpoint is found at once.
            self._sender(place.endpoint.group, place.endpoint.port or 0, ttl)
        elif place.interface is not None and not _arguments.interface_indexes(place.interface):
            here = ", ".join(one.name for one in _arguments.list_interfaces())
            raise OSError(
                errno.ENODEV, f"cannot send to {place}: {os.strerror(errno.ENODEV)} (interfaces here: {here})"
            )

    def put(self, several: list[Carried]) -> None:
        """Take datagrams to send. Those that find the buffer full are dropped and counted."""
        targets = [self._target(one) for one in several]
        # Before they are sent: another relay may be faster, and send them back first.
        for one in targets:
            self._memory.note_sent(one)
        super().put(targets)

    def _target(self, one: Carried) -> Carried:
        """Return a datagram with the group and port that it is sent to."""
        if isinstance(self._place, OriginalPlace):
            return one
        return one._replace(group=self._place.endpoint.group, port=self._place.endpoint.port or one.port)

    async def send_some(self) -> None:
        """Send some of what waits: datagrams to the same group by one call."""
        run: list[bytes] = []
        key: tuple[str, int, int] | None = None
        for one in self.take(BATCH):
            ttl = min(self._ttl, max(1, one.ttl - 1)) if one.ttl else self._ttl
            if key != (one.group, one.port, ttl):
                await self._send(key, run)
                key, run = (one.group, one.port, ttl), []
            run.append(one.data)
        await self._send(key, run)

    async def _send(self, key: tuple[str, int, int] | None, payloads: list[bytes]) -> None:
        if key is None or not payloads:
            return
        try:
            sender = self._sender(*key)
        except (OSError, ValueError) as error:
            self.complain(error, len(payloads))
            return
        done = 0
        while done < len(payloads):
            before = sender.stats().sent
            try:
                await sender.send_many(payloads[done:])
            except (OSError, ValueError) as error:
                # The datagram that the system refused is left out; those after it may still be sent.
                self.complain(error, 1)
                done += 1
            finally:
                # Also if this is cancelled while it waits.
                sent = sender.stats().sent - before
                self.sent += sent
                done += sent

    def _sender(self, group: str, port: int, ttl: int) -> aio.Sender:
        found = self._senders.get((group, port, ttl))
        if found is None:
            if not self._link_scope:
                refuse_link_scope(group)
            if len(self._senders) >= _MAX_SENDERS:
                self._senders.pop(next(iter(self._senders))).close()
            found = aio.Sender(group, port, interface=self._place.interface, ttl=ttl)
            self._senders[group, port, ttl] = found
            self.ports.add(_local_port(found))
        return found

    def close(self) -> None:
        """Close the sockets."""
        for sender in self._senders.values():
            sender.close()


class UdpOutput(Output):
    """Envelopes to another relay, one in each datagram."""

    def __init__(self, place: UdpPlace, buffer: int) -> None:
        super().__init__(buffer)
        self.number = secrets.randbits(64)
        self._sequence = 0
        # The datagrams in the envelope that was sent last.
        self._last_counts = 0
        family, kind, protocol, address = _resolve(place)
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"cannot send to {place}: {error.strerror}") from error

    async def send_some(self) -> None:
        """Send some of what waits."""
        for one in self.take(BATCH):
            if len(one.data) + OVERHEAD > _MAX_DATAGRAM:
                self.too_long += 1
                continue
            # A number that was not sent is used again, so that the other relay does not miss it.
            if await self._send(pack(one, self.number, self._sequence + 1)):
                self._sequence += 1
                self.sent += 1

    async def repeat_number(self) -> None:
        """Send the latest number, so that the other relay notices what is missing."""
        await self._send(pack(None, self.number, self._sequence), counts=0)

    async def _send(self, envelope: bytes, counts: int = 1) -> bool:
        """Send an envelope that counts as this many datagrams. Return whether the system took it."""
        while True:
            try:
                self._socket.send(envelope)
            except BlockingIOError:
                await asyncio.sleep(0.001)
            except ConnectionRefusedError as error:
                # Nobody listens there, which the envelope before has found out. This one was not sent yet.
                self.sent -= self._last_counts
                self.complain(error, self._last_counts)
                self._last_counts = 0
            except OSError as error:
                self.complain(error, counts)
                return False
            else:
                self._last_counts = counts
                return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _local_port(sender: aio.Sender) -> int:
    """Return the port that a sender sends from. The system would choose it with the first datagram."""
    with socket.socket(fileno=os.dup(sender.fileno())) as sock:
        if not sock.getsockname()[1]:
            sock.bind(("", 0))
        return int(sock.getsockname()[1])


def _resolve(place: UdpPlace) -> tuple[int, int, int, tuple[Any, ...]]:
    """Return the family, kind and protocol of a socket for this place, and its address."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        raise OSError(error.errno, f"cannot find {place}: {error.strerror}") from error
    family, kind, protocol, _, address = found[0]
    if endpoints.parse_address(str(address[0])).is_multicast:
        # Nobody would join it.
        group = endpoints.Endpoint(str(address[0]), place.port)
        raise OSError(errno.EINVAL, f"cannot use {place}: udp:// is for unicast (write {group} for a group)")
    return family, kind, protocol, address
