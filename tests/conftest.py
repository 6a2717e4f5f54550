"""Fixtures of all tests: the private network, hosts, ports, other programs, leak detection."""

import os
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any

import hypothesis
import pytest

from tests.support import hosts as hosts_module
from tests.support import leaks, machines, private_network, tools

pytest_plugins = ["tests.support.no_skips"]

# An example that takes long on a busy machine is no failure.
hypothesis.settings.register_profile("without a deadline", deadline=None)
hypothesis.settings.load_profile("without a deadline")

_CALL_PASSED = pytest.StashKey[bool]()
# Tests in these folders open sockets and threads in their own process.
_WATCHED_FOLDERS = {"wire", "legacy"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=["socket", "packet"],
        default="socket",
        help="the engine of receivers in the tests' own process that do not choose one (packet: Linux, as root)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Enter the private network before anything is collected: no test module has been imported yet."""
    private_network.enter()
    # Both are ignored in some jobs of scripts, and under nohup. The programs that are tested would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of workers for ``-n auto``: no workers if they had to share the machine's own network."""
    if not private_network.is_private():
        return 0
    # The tests that run with packets are about waiting, so that two of them share a processor well.
    each = 2 if config.getoption("engine") == "packet" else 1
    return each * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Give each worker of pytest-xdist a private network, where it meets no other worker's datagrams."""
    if private_network.is_private():
        import execnet

        specs[:] = [execnet.XSpec(private_network.worker_spec()) for _ in specs]


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
    """Fail a test of the watched folders that leaves a descriptor or a thread behind."""
    if _WATCHED_FOLDERS.isdisjoint(request.path.parts):
        yield
        return
    before = leaks.take()
    yield
    if not request.node.stash.get(_CALL_PASSED, False):
        # The traceback of the failure keeps the objects of the test alive.
        return
    left = leaks.left_since(before)
    if left:
        pytest.fail("left behind: " + ", ".join(sorted(left)))


@pytest.fixture
def hosts() -> list[hosts_module.Host]:
    """Return the hosts on the bridge, h1 first."""
    return hosts_module.available()


@pytest.fixture(scope="module", params=machines.KINDS)
def machine(request: pytest.FixtureRequest) -> Iterator[hosts_module.Machine]:
    """Return each kind of ordinary machine in turn, or those that the test chooses (``indirect=["machine"]``)."""
    with machines.running(request.param) as found:
        yield found


@pytest.fixture
def free_port() -> int:
    """Return a UDP port of the dynamic range that is free now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            port = int(probe.getsockname()[1])
        # The system may choose a port below the range that MULTICAST_PORT accepts.
        if port >= 49152:
            return port


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Return a function that finds a program: ``tool("socat")``."""
    return tools.need


@pytest.fixture
def loopback() -> str:
    """Return the address of the loopback interface, for tests that must not use another one."""
    return "127.0.0.1"
