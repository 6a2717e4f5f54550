"""Code as users of the package write it. mypy and pyright check it in their strict modes; it never runs."""

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator

from typing_extensions import assert_type

import multicast
from multicast import aio, hear, recv, send

GROUP = "239.1.2.3:5000"
logger = logging.getLogger(__name__)


def receive() -> bytes:
    with multicast.Receiver(GROUP, interface="eth0", recv_buffer=1 << 20) as rx:
        datagram = rx.recv(timeout=1.0)
        assert_type(datagram, multicast.Datagram)
        assert_type(datagram.data, bytes)
        assert_type(datagram.interface, "str | None")
        assert_type(datagram.timestamp_ns, "int | None")
        host, port = datagram.sender[:2]
        assert_type(host, str)
        assert_type(port, int)
        return datagram.data


def receive_until_closed(rx: multicast.Receiver) -> None:
    for datagram in rx:
        print(datagram.sender, len(datagram), bytes(datagram))
    for batch in rx.batches(limit=1024, timeout=2.0, linger=0.001):
        assert_type(batch.payloads(), list[bytes])
    batch = rx.recv_batch(256, timeout=0)
    assert_type(batch[0], multicast.Datagram)
    assert_type([len(datagram) for datagram in batch], list[int])
    start, length = batch.offsets[0], batch.lengths[0]
    print(bytes(batch.data[start : start + length]))


def choose_groups(sources: list[str]) -> multicast.Receiver:
    rx = multicast.Receiver(["239.1.2.3", "ff15::1"], 5000, source=sources, exclude=(), ring=100_000)
    rx.join(ipaddress.ip_address("239.1.2.4"), "eth1", source="10.0.0.1")
    rx.leave("239.1.2.4", "eth1")
    assert_type(rx.groups, tuple[multicast.Membership, ...])
    usable = [one for one in multicast.interfaces() if one.unusable_reason is None]
    rx.join("239.1.2.5", usable[0])
    return rx


def adopt(sock: socket.socket) -> multicast.ReceiverStats:
    with multicast.Receiver.adopt(sock, "239.1.2.3", interface="eth0", timestamps=False) as rx:
        stats = rx.stats()
        assert_type(stats.received, int)
        assert_type(stats.outage_seconds, float)
        return stats


def messages() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


def transmit() -> int:
    with multicast.Sender("239.1.2.3", 5000, interface=2, ttl=4, rate=1000.0) as tx:
        sent = tx.send(b"hello", timeout=1.0)
        assert_type(sent, int)
        return sent + tx.send_many(messages()) + tx.send_many([bytearray(b"x"), memoryview(b"y")])


def handle_errors() -> None:
    try:
        multicast.Receiver(GROUP).recv(timeout=0.5)
    except TimeoutError:
        logger.warning("no datagram arrived")
    except multicast.ClosedError as error:
        assert_type(error.errno, "int | None")
    except multicast.MulticastError as error:
        logger.exception("%s", error.strerror)


def run_handler(stop: threading.Event) -> int:
    def show(datagram: multicast.Datagram) -> None:
        print(datagram.data)

    with multicast.Receiver(GROUP) as rx:
        return rx.run(show, stop=stop, on_error="raise", timeout=5.0)


def refused() -> None:
    multicast.Receiver(GROUP, iface="eth0")  # type: ignore[call-arg]
    multicast.Sender(GROUP).send("text")  # type: ignore[arg-type]
    aio.Receiver(GROUP, interfaces="eth0")  # type: ignore[call-arg]


async def feed() -> AsyncIterator[bytes]:
    yield b"one"


async def main() -> None:
    async with aio.Receiver(GROUP, interface="eth0") as rx, aio.Sender(GROUP, ttl=1) as tx:
        await tx.send(b"hello")
        assert_type(await tx.send_many(feed()), int)
        datagram = await rx.recv(timeout=1.0)
        assert_type(datagram, multicast.Datagram)
        async for datagram in rx:
            print(datagram.data)
            break
        async for batch in rx.batches(limit=64):
            assert_type(batch, multicast.Batch)


def use_2x_tools() -> None:
    succeeded, received = recv.McastRECV()(groups=["224.0.0.1"], group="224.0.0.1", port=59595, timeout=2)
    print(succeeded, received)
    send.McastSAY()(group="224.0.0.1", port=59595, data="Hello")
    with hear.McastServer(("224.0.0.1", 59595), hear.HearUDPHandler) as server:
        server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
