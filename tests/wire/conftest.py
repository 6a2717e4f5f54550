"""Provide the fixtures of the wire tests."""

import inspect
import socket
from collections.abc import Iterator

import pytest

from multicast.sync import Receiver
from tests.support import loops, private_network
from tests.support.hosts import Host
from tests.wire import endpoints, faults
from tests.wire.aio_ways import Run
from tests.wire.exchange import LOOPBACK, PATIENCE, Link

LINKS = {
    "v4-loopback": LOOPBACK,
    "v4-veth": Link("239.9.8.7", "veth0", 65_507),
    "v6-loopback": Link("ff15::9:8:7", "lo", 65_527),
    "v6-veth": Link("ff15::9:8:7", "veth0", 65_527),
    "v4-loopback-packet": Link("239.9.8.7", "127.0.0.1", 65_507, "packet"),
    "v6-veth-packet": Link("ff15::9:8:7", "veth0", 65_527, "packet"),
}


NOT_ABOUT_RECEIVERS = (
    "test_capture_fuzz",
    "test_capture_replay",
    "test_doctor",
    "test_examples",
    "test_exit",
    "test_foreign_answers",
    "test_interfaces",
    "test_open_cost",
    "test_ping",
    "test_rate",
    "test_relay",
    "test_send_",
    "test_watch",
    "test_zeroconf",
)
"""How the names of files begin whose tests are about senders, programs or interfaces: they run with sockets only."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``link`` on each kind of link, and with both engines unless all receivers have one."""
    if "link" in metafunc.fixturenames:
        explicit = (
            metafunc.config.getoption("engine") == "socket"
            and metafunc.definition.get_closest_marker("udp_sockets") is None
        )
        names = [name for name, link in LINKS.items() if explicit or link.engine is None]
        metafunc.parametrize("link", names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--engine packet``, select the wire tests of receivers that are not marked ``udp_sockets``."""
    if config.getoption("engine") == "packet":
        selected = [item for item in items if _has_an_engine(item)]
        config.hook.pytest_deselected(items=[item for item in items if not _has_an_engine(item)])
        items[:] = selected


def _has_an_engine(item: pytest.Item) -> bool:
    file = item.path
    about_others = file.parent.name != "wire" or file.name.startswith(NOT_ABOUT_RECEIVERS)
    return not about_others and item.get_closest_marker("udp_sockets") is None


@pytest.fixture(autouse=True)
def default_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let receivers of this process use the packet engine if nothing else is given, for ``--engine packet``."""
    if request.config.getoption("engine") == "packet":
        private_network.need()
        defaults = inspect.unwrap(Receiver.__init__).__kwdefaults__
        monkeypatch.setitem(defaults, "engine", "packet")
        monkeypatch.setitem(defaults, "packet_delay", 0.001)


@pytest.fixture
def link(request: pytest.FixtureRequest) -> Link:
    """Return each kind of link in turn. All but the first need the private network."""
    found = LINKS[request.param]
    if found != LOOPBACK:
        private_network.need()
    return found


@pytest.fixture
def interface(hosts: list[Host]) -> Iterator[str]:
    """An interface whose other end is on the first host; the test can remove it and make it again."""
    faults.plug_in()
    yield faults.INTERFACE
    faults.sh(f"ip link del {faults.INTERFACE} 2>/dev/null || true")


@pytest.fixture(params=endpoints.SIDES)
def side(request: pytest.FixtureRequest) -> endpoints.Side:
    """Return the datagram endpoint of asyncio, and ours on each kind of loop."""
    return endpoints.SIDES[request.param]


@pytest.fixture(params=endpoints.LOCALHOST, ids=["v4", "v6"])
def family(request: pytest.FixtureRequest) -> socket.AddressFamily:
    """Return each IP version in turn."""
    return socket.AddressFamily(request.param)


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Return the socket that a datagram endpoint talks to."""
    with endpoints.bound() as sock:
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture(params=loops.KINDS)
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a coroutine, on each kind of loop in turn."""
    return lambda main: loops.run(loops.KINDS[request.param], main)
