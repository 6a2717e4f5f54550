"""What every test gets: the private network, hosts, ports, foreign programs, the watch for leaks."""

import os
import socket
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.support import hosts as hosts_module
from tests.support import leaks, private_network, tools

pytest_plugins = ["tests.support.no_skips"]

_CALL_PASSED = pytest.StashKey[bool]()
# In these folders, sockets and threads are made in the test's own process.
_WATCHED_FOLDERS = {"wire", "documented"}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Enter the private network before anything is collected: no test module has been imported yet."""
    private_network.enter()


def pytest_report_header() -> str:
    if private_network.is_private():
        return f"network: private, {os.environ['MULTICAST_HOSTS']} hosts"
    return "network: the machine's own, loopback only"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("private_net"):
        private_network.need()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_CALL_PASSED] = report.passed
    return report


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of the watched folders that leaves a descriptor or a thread behind in this process."""
    if _WATCHED_FOLDERS.isdisjoint(request.path.parts):
        yield
        return
    before = leaks.take()
    yield
    if not request.node.stash.get(_CALL_PASSED, False):
        # The failure's own traceback keeps alive what the test was working on.
        return
    left = leaks.left_since(before)
    if left:
        pytest.fail("left behind: " + ", ".join(sorted(left)))


@pytest.fixture
def hosts() -> list[hosts_module.Host]:
    """The hosts on the bridge, h1 first."""
    return hosts_module.available()


@pytest.fixture
def free_port() -> int:
    """A UDP port of the dynamic range that nobody holds at this moment."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            port = int(probe.getsockname()[1])
        # The system's own choice may lie below the range that MULTICAST_PORT takes.
        if port >= 49152:
            return port


@pytest.fixture
def tool() -> Callable[[str], str]:
    """A function that returns the path of a foreign program: ``tool("socat")``."""
    return tools.need


@pytest.fixture
def loopback() -> str:
    """The loopback interface's address, to name where a test must keep to it."""
    return "127.0.0.1"
