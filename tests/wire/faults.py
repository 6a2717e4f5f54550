"""Faults of the network, made for real: an interface to a host, traffic on it, and what a receiver hears. No tests."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from multicast.sync import Receiver
from tests.support import beacon
from tests.support.hosts import Host
from tests.wire.exchange import PATIENCE

INTERFACE = "mc0"
"""The interface that the faults happen to."""

RESUMED = 2.0
"""Seconds within which delivery resumes once the fault has ended."""


def sh(command: str) -> None:
    subprocess.run(["bash", "-ec", command], check=True)


@contextmanager
def prepared(command: str) -> Generator[Callable[[], None], None, None]:
    """Start a shell that runs ``command`` when the yielded function is called, which then needs no new descriptor."""
    with subprocess.Popen(["bash", "-ec", f"read; {command}"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None

        def run() -> None:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait(PATIENCE) == 0

        yield run


def plug_in() -> None:
    """Make an interface whose other end is on a host."""
    sh(f"""ip link add {INTERFACE} type veth peer name {INTERFACE} netns h1
        ip addr add 10.9.0.1/24 dev {INTERFACE}; ip -6 addr add fd09::1/64 dev {INTERFACE} nodad
        ip -n h1 addr add 10.9.0.2/24 dev {INTERFACE}; ip -n h1 -6 addr add fd09::2/64 dev {INTERFACE} nodad
        ip link set {INTERFACE} up; ip -n h1 link set {INTERFACE} up""")


def unplug() -> None:
    sh(f"ip link del {INTERFACE}")


@contextmanager
def traffic(
    host: Host | None, group: str, port: int, interface: str = INTERFACE, program: ModuleType = beacon
) -> Generator[None, None, None]:
    """Send datagrams to the group from an interface of a host, or of this machine, whenever it exists.

    The block begins when the program runs. ``program`` is its module: `beacon`, or `flood`, which sends far more often.
    """
    words = [sys.executable, os.fspath(Path(str(program.__file__))), group, str(port), interface]
    with subprocess.Popen(
        host.command(*words) if host else words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"sending\n"
            yield
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


def hears_nothing(rx: Receiver) -> bool:
    """Return whether delivery stops: 0.2 s pass without a datagram, while 200 per second are sent."""
    for _ in range(1000):
        try:
            rx.recv(timeout=0.2)
        except TimeoutError:
            return True
    return False


def drain(rx: Receiver) -> None:
    while True:
        try:
            rx.recv(timeout=0)
        except TimeoutError:
            return


def resumes(rx: Receiver) -> None:
    begun = time.monotonic()
    rx.recv(timeout=RESUMED)
    assert time.monotonic() - begun < RESUMED


def joined_on(rx: Receiver) -> list[int | None]:
    """Return the index of the interface of each membership."""
    return [one.interface_index for one in rx.groups]


@contextmanager
def no_new_descriptors() -> Generator[None, None, None]:
    """Make every attempt of this process to open a descriptor fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is on the number of a descriptor: this finds the lowest free one.
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def looked(rx: Receiver) -> bool:
    """Let the receiver look at the network, which asking for its counters does. Return True."""
    rx.stats()
    return True
