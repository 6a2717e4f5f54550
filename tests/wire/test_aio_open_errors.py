"""Test that `multicast.aio` leaves nothing open when the system refuses a descriptor or a thread."""

import asyncio
import errno
import gc
import sys
import threading
import warnings
from typing import Any

import pytest

from multicast import aio
from tests.support import leaks, loops
from tests.wire.exchange import LOOPBACK, PATIENCE
from tests.wire.test_open_errors import only_descriptors

pytestmark = pytest.mark.platform("linux")


async def endpoint() -> asyncio.DatagramTransport:
    transport, _ = await aio.create_datagram_endpoint(
        asyncio.DatagramProtocol, (LOOPBACK.group, 0), interface=LOOPBACK.interface
    )
    return transport


async def close(transport: asyncio.DatagramTransport) -> None:
    transport.close()
    await loops.turns()


def test_aio_endpoint_out_of_descriptors_leaves_nothing_open() -> None:
    async def main() -> int:
        # Everything that is loaded on first use needs descriptors too.
        await close(await endpoint())
        before, allowed = leaks.take(), 0
        while True:
            try:
                with only_descriptors(allowed):
                    transport = await endpoint()
            except OSError as refused:
                assert refused.errno == errno.EMFILE, refused
                assert leaks.left_since(before) == [], f"{allowed} descriptors were allowed"
                allowed += 1
            else:
                await close(transport)
                return allowed

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # It failed at every step: the receiver, the socket to send on and the reader.
        assert asyncio.run(main()) >= 5
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collect the exceptions that finalizers raise."""
    raised: list[object] = []

    def keep(one: "sys.UnraisableHookArgs") -> None:
        raised.append(one.exc_value)

    monkeypatch.setattr(sys, "unraisablehook", keep)
    return raised


def test_aio_receiver_out_of_descriptors_for_its_thread_raises_and_goes_on(unraisable: list[object]) -> None:
    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            for allowed in (0, 1):
                with only_descriptors(allowed), pytest.raises(OSError, match="Too many open files"):
                    await rx.recv(timeout=PATIENCE)
            gc.collect()
            assert unraisable == []
            await receives(rx)

    loops.run(loops.WithoutReaders, main())


def test_aio_receiver_without_a_thread_leaves_nothing_open_and_goes_on(
    unraisable: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            # Its first call opens the descriptor of the event loop.
            rx.fileno()
            before = leaks.take()
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                with pytest.raises(RuntimeError, match="new thread") as refused:
                    await rx.recv(timeout=PATIENCE)
            assert leaks.left_since(before) == [], refused
            del refused
            gc.collect()
            assert unraisable == []
            await receives(rx)

    loops.run(loops.WithoutReaders, main())


async def receives(rx: Any) -> None:
    with LOOPBACK.sender(rx.port) as tx:
        tx.send(b"x")
    assert (await rx.recv(timeout=PATIENCE)).data == b"x"
