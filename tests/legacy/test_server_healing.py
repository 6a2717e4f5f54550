"""Test that servers rejoin their groups after an interface was deleted and created again, however they are run."""

import contextlib
import selectors
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.legacy.serving import PATIENCE, Keeping, KeepingServer
from tests.support.hosts import Host
from tests.wire.faults import INTERFACE, plug_in, sh, traffic, unplug

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ["239.9.9.19", "ff15::9:19"]
# Seconds in which a server has rejoined, and its handler was called.
RESUMED = 5.0


@pytest.fixture(autouse=True)
def interface(hosts: list[Host]) -> Iterator[str]:
    """An interface whose other end is on the first host."""
    plug_in()
    yield INTERFACE
    sh(f"ip link del {INTERFACE} 2>/dev/null || true")


@contextlib.contextmanager
def by_selector(server: KeepingServer) -> Generator[Callable[[], None], None, None]:
    """Drive the server from an event loop of the program, which it was registered with once."""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)

        def drive() -> None:
            if selector.select(0.1):
                begun = time.monotonic()
                server.handle_request()
                assert time.monotonic() - begun < PATIENCE, "an event loop must not be held up"

        yield drive


@contextlib.contextmanager
def by_handle_request(server: KeepingServer) -> Generator[Callable[[], None], None, None]:
    server.timeout = 0.1
    yield server.handle_request


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("way", [by_selector, by_handle_request])
def test_server_driven_by_the_program_rejoins(way: Any, group: str, hosts: list[Host]) -> None:
    with (
        KeepingServer((group, 0), Keeping, iface=INTERFACE) as server,
        way(server) as drive,
        traffic(hosts[0], group, server.server_address[1]),
    ):

        def handled(seconds: float) -> bool:
            """Run the server until it has handled a datagram, or the time limit is reached."""
            deadline = time.monotonic() + seconds
            while server.kept.empty() and time.monotonic() < deadline:
                drive()
            return not server.kept.empty()

        assert handled(PATIENCE)
        unplug()
        # The datagrams that were received before.
        while handled(0.3):
            server.kept.get()
        plug_in()
        assert handled(RESUMED)
