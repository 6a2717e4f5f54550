"""Test `watch_interfaces`: the events of real changes, how a wait ends, and that nothing is lost unnoticed."""

import asyncio
import gc
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import multicast
from multicast import aio
from multicast.types import InterfaceEvent
from tests.support import loops, waiting
from tests.wire.exchange import PATIENCE, until_in_poll
from tests.wire.faults import sh

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

Next = Callable[[], InterfaceEvent]


@pytest.fixture
def wx0() -> Iterator[str]:
    """Make an interface with a carrier, and return its name."""
    sh("ip link add wx0 type veth peer name wx1; ip link set wx1 up")
    yield "wx0"
    sh("ip link del wx0 2>/dev/null || true")


def until_operating(name: str) -> None:
    show = ["ip", "link", "show", name]
    waiting.until(lambda: b"state UP" in subprocess.check_output(show), f"{name} to have a carrier")


def about(event: InterfaceEvent) -> tuple[str, str | None]:
    return event.kind, None if event.interface is None else event.interface.name


def until(next_event: Next, kind: str, name: str | None) -> InterfaceEvent:
    """Return the next event of this kind about this interface, and skip those before it."""
    while True:
        event = next_event()
        if about(event) == (kind, name):
            return event


def addresses(event: InterfaceEvent) -> tuple[str, ...]:
    assert event.interface is not None
    return event.interface.addresses


@pytest.fixture(params=["sync", *loops.KINDS])
def next_event(request: pytest.FixtureRequest, wx0: str) -> Iterator[Next]:
    """Return a function that waits for the next event, in a thread or on each kind of event loop."""
    if request.param == "sync":
        with multicast.watch_interfaces() as watch:
            yield lambda: watch.wait(PATIENCE)
        return
    loop = loops.KINDS[request.param]()

    async def opened() -> aio.InterfaceWatch:
        return aio.watch_interfaces()

    watch_on_loop = loop.run_until_complete(opened())
    yield lambda: loop.run_until_complete(watch_on_loop.wait(PATIENCE))
    watch_on_loop.close()
    loop.close()


def test_watch_reports_the_life_of_an_interface(next_event: Next, wx0: str) -> None:
    index = socket.if_nametoindex(wx0)
    sh(f"ip link set {wx0} up")
    up = until(next_event, "up", wx0).interface
    assert up is not None
    assert (up.index, up.is_up) == (index, True)
    sh(f"ip addr add 10.9.1.1/24 dev {wx0}")
    # The link-local address comes at its own time.
    while "10.9.1.1" not in addresses(until(next_event, "addresses", wx0)):
        pass
    # The carrier is lost, and comes back.
    sh("ip link set wx1 down")
    until(next_event, "down", wx0)
    sh("ip link set wx1 up")
    until(next_event, "up", wx0)
    sh(f"ip addr del 10.9.1.1/24 dev {wx0}")
    while "10.9.1.1" in addresses(until(next_event, "addresses", wx0)):
        pass
    sh(f"ip link del {wx0}")
    gone = until(next_event, "removed", wx0).interface
    assert gone is not None
    assert gone.index == index
    sh("ip link add wx0 type veth peer name wx1")
    until(next_event, "added", wx0)


def test_watch_reports_changes_that_were_undone_before_the_look(next_event: Next, wx0: str) -> None:
    sh(f"ip link set {wx0} up")
    until(next_event, "up", wx0)
    sh(f"ip link set {wx0} down; ip link set {wx0} up; ip link del {wx0}; ip link add {wx0} type veth")
    for kind in ("down", "removed", "added"):
        until(next_event, kind, wx0)


def test_watch_reports_routes_of_multicast(next_event: Next, wx0: str) -> None:
    sh(f"ip link set {wx0} up; ip route add 239.77.0.0/16 dev {wx0}")
    until(next_event, "routes", None)


def test_watch_reports_a_new_name_as_another_interface(next_event: Next, wx0: str) -> None:
    sh(f"ip link set {wx0} name wx9")
    until(next_event, "removed", wx0)
    until(next_event, "added", "wx9")
    sh(f"ip link set wx9 name {wx0}")


def test_watch_that_lost_events_reports_a_resync_and_the_state(wx0: str) -> None:
    with multicast.watch_interfaces() as watch:
        # More messages than the receive buffer of the monitor holds.
        flaps = "link set wx0 up\nlink set wx0 down\n" * 2000
        sh(f"ip -batch - <<'END'\n{flaps}link set wx0 up\nEND")
        sh("ip addr add 10.9.1.2/24 dev wx0")
        events = [watch.wait(PATIENCE)]
        while True:
            try:
                events.append(watch.wait(0))
            except TimeoutError:
                break
        kinds = [about(event) for event in events]
        assert ("resync", None) in kinds
        last = [event for event in events if event.interface and event.interface.name == wx0][-1]
        assert last.interface is not None
        assert last.interface.is_up
        assert any("10.9.1.2" in event.interface.addresses for event in events if event.interface)


def test_watch_without_changes_times_out(wx0: str) -> None:
    with multicast.watch_interfaces(timeout=0.01) as watch:
        drain(watch)
        with pytest.raises(TimeoutError, match=r"no interface has changed within 0\.01 s"):
            next(watch)
        with pytest.raises(TimeoutError):
            watch.wait(0)


def drain(watch: multicast.InterfaceWatch) -> None:
    while True:
        try:
            watch.wait(0.2)
        except TimeoutError:
            return


def test_watch_close_ends_an_iteration_in_another_thread() -> None:
    seen: list[Any] = []
    watch = multicast.watch_interfaces()
    thread = threading.Thread(target=lambda: seen.append(list(watch)))
    thread.start()
    watch.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(seen) == 1
    watch.close()
    assert watch.closed
    assert list(watch) == []
    with pytest.raises(multicast.ClosedError):
        watch.wait()


@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_watch_close_ends_the_iteration_of_a_task(kind: str) -> None:
    async def main() -> None:
        async with aio.watch_interfaces() as watch:
            task = asyncio.ensure_future(collect(watch))
            await loops.turns()
            watch.close()
            await asyncio.wait_for(task, PATIENCE)
            assert watch.closed
            with pytest.raises(multicast.ClosedError):
                await watch.wait()

    loops.run(loops.KINDS[kind], main())


async def collect(watch: aio.InterfaceWatch) -> list[InterfaceEvent]:
    return [event async for event in watch]


async def changed(watch: aio.InterfaceWatch) -> bool:
    try:
        await watch.wait(0.2)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_watch_without_changes_times_out(kind: str) -> None:
    async def main() -> None:
        async with aio.watch_interfaces(timeout=0.01) as watch:
            while await changed(watch):
                pass
            with pytest.raises(TimeoutError, match=r"no interface has changed within 0\.01 s"):
                await collect(watch)

    loops.run(loops.KINDS[kind], main())


@pytest.mark.parametrize("make", [multicast.watch_interfaces, aio.watch_interfaces])
def test_watch_with_a_wrong_timeout_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a number of seconds from 0, got -1"):
        make(timeout=-1)
    with pytest.raises(TypeError, match="timeout must be a number or None, got str"):
        make(timeout="1")


def test_watch_dropped_without_close_warns() -> None:
    held = [multicast.watch_interfaces()]
    with pytest.warns(ResourceWarning, match="unclosed <InterfaceWatch, open>"):
        held.clear()


@pytest.mark.parametrize("attempt", range(5))
def test_watch_in_two_threads_gives_each_an_event_of_one_change(attempt: int, wx0: str) -> None:
    # No other change may follow: the kernel adds no address and no route later, and both ends have their carrier.
    sh(f"ip link set wx1 addrgenmode none; ip link set {wx0} addrgenmode none up")
    for name in (wx0, "wx1"):
        until_operating(name)
    with multicast.watch_interfaces() as watch:
        kinds: list[str] = []
        threads = [threading.Thread(target=lambda: kinds.append(watch.wait(PATIENCE).kind)) for _ in range(2)]
        for thread in threads:
            thread.start()
            until_in_poll(f"/proc/self/task/{thread.native_id}")
        # One thread takes all events, and leaves the next one to the other.
        sh(f"ip link del {wx0}")
        for thread in threads:
            thread.join()
    assert len(kinds) == 2, attempt


def test_watch_in_a_loop_that_is_forgotten_warns() -> None:
    async def forget() -> None:
        watch = aio.watch_interfaces()
        with pytest.raises(TimeoutError):
            await watch.wait(0.01)
        del watch
        gc.collect()

    with pytest.warns(ResourceWarning, match="unclosed <multicast.aio.InterfaceWatch, open>"):
        asyncio.run(forget())
