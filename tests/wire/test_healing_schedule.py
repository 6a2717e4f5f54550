"""When memberships are looked after: the interval of ``rejoin=``, and receivers that only poll."""

import asyncio
import threading
import time

import pytest

from multicast import aio
from multicast.sync import Receiver
from tests.support import loops
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.faults import INTERFACE, RESUMED, hears_nothing, plug_in, sh, traffic, unplug

pytestmark = [pytest.mark.alone, pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ["239.9.9.9", "ff15::9:9"]


def test_rejoin_in_an_event_loop_keeps_its_rate() -> None:
    async def main() -> int:
        async with aio.Receiver("239.9.9.9", 0, interface="lo", rejoin=0.1) as rx:
            with pytest.raises(TimeoutError):
                await rx.recv(timeout=3.05)
            return rx.stats().rejoins

    assert 28 <= loops.run(loops.KINDS["asyncio"], main()) <= 30


def test_rejoin_with_a_descriptor_keeps_its_rate() -> None:
    with Receiver("239.9.9.9", 0, interface="lo", rejoin=0.1) as rx:
        rx.fileno()
        with pytest.raises(TimeoutError):
            rx.recv(timeout=3.05)
        assert 28 <= rx.stats().rejoins <= 30


@pytest.mark.parametrize("ring", [None, 10])
@pytest.mark.parametrize("seconds", [1e10, 1.8e19])
def test_rejoin_after_a_very_long_time_never_happens(seconds: float, ring: int | None) -> None:
    with Receiver("239.9.9.9", 0, interface="lo", rejoin=seconds, ring=ring) as rx:
        rx.fileno()
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0.01)
        assert rx.stats().rejoins == 0


@pytest.mark.parametrize("seconds", [1e-9, 0.0099])
def test_rejoin_below_the_shortest_interval_raises_value_error(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"rejoin must be at least 0\.01 seconds, got"):
        Receiver("239.9.9.9", 0, interface="lo", rejoin=seconds)


def poll(rx: Receiver, seconds: float) -> bool:
    """Receive without waiting, ten times a second. Return whether a datagram was received."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            rx.recv(timeout=0)
        except TimeoutError:
            pause.wait(0.1)
        else:
            return True
    return False


@pytest.mark.parametrize("group", GROUPS)
def test_polling_receiver_heals_in_time(group: str, interface: str, hosts: list[Host]) -> None:
    with Receiver(group, 0, interface=interface) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=10)
        unplug()
        assert hears_nothing(rx)
        plug_in()
        assert poll(rx, RESUMED)


def test_polling_receiver_keeps_the_rejoin_interval() -> None:
    with Receiver("239.9.9.9", 0, interface="lo", rejoin=0.2) as rx:
        assert not poll(rx, 2.05)
        assert 7 <= rx.stats().rejoins <= 10


def test_polling_task_heals_in_time(interface: str, hosts: list[Host]) -> None:
    group = GROUPS[0]

    async def main() -> None:
        async with aio.Receiver(group, 0, interface=interface) as rx:
            with traffic(hosts[0], group, rx.port):
                await rx.recv(timeout=10)
                unplug()
                plug_in()
                end = time.monotonic() + RESUMED
                begun = rx.stats().received
                while time.monotonic() < end and rx.stats().received <= begun + 1:
                    try:
                        await rx.recv(timeout=0)
                    except TimeoutError:
                        await asyncio.sleep(0.1)
                assert rx.stats().received > begun + 1

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize("group", GROUPS[:1])
def test_join_keeps_a_pending_first_address(group: str, interface: str) -> None:
    sh(f"ip addr flush dev {interface} scope global")
    with Receiver(group, 0, interface=interface) as rx:
        assert rx.stats().rejoins == 0
        sh(f"ip addr add 10.9.0.1/24 dev {INTERFACE}")
        rx.join("239.9.9.10", interface)
        until(lambda: rx.stats().rejoins == 1, "the first group to be rejoined")


@pytest.mark.parametrize("group", GROUPS)
def test_join_keeps_a_pending_removal(group: str, interface: str, hosts: list[Host]) -> None:
    with Receiver(group, 0, interface=interface) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=10)
        unplug()
        plug_in()
        rx.join("239.9.9.10" if "." in group else "ff15::9:10", interface)
        until(lambda: rx.stats().rejoins >= 1, "the first group to be rejoined")
        rx.recv(timeout=RESUMED)
