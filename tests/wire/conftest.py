"""Provide the fixtures of the wire tests."""

from collections.abc import Iterator

import pytest

from tests.support import private_network
from tests.support.hosts import Host
from tests.wire import faults
from tests.wire.exchange import LOOPBACK, Link

LINKS = {
    "v4-loopback": LOOPBACK,
    "v4-veth": Link("239.9.8.7", "veth0", 65_507),
    "v6-loopback": Link("ff15::9:8:7", "lo", 65_527),
    "v6-veth": Link("ff15::9:8:7", "veth0", 65_527),
}


@pytest.fixture(params=LINKS)
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
