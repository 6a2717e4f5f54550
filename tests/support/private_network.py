"""Put the test run into a network namespace of its own, so that no datagram leaves the machine.

``scripts/dev/netns.sh`` describes the namespace, and ``hosts.py`` the hosts in it.
"""

import os
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = ROOT / "scripts" / "dev" / "netns.sh"
_HOSTS = 3


def is_private() -> bool:
    """Return whether this process is in a namespace made by ``scripts/dev/netns.sh``.

    The variable alone is not enough: an ordinary shell may have inherited it.
    """
    here = Path("/proc/self/ns/net")
    return here.is_symlink() and os.environ.get("MULTICAST_NETNS") == os.fspath(here.readlink())


def is_loopback_only() -> bool:
    """Return whether no namespace is available, so that tests must name the loopback interface."""
    return os.environ.get("MULTICAST_LOOPBACK_ONLY") == "1"


def enter() -> None:
    """Replace this process by the same command inside a private network, unless it is in one.

    The exit code, the output and Ctrl-C are those of the replaced process. Return if there is nothing to do.
    """
    if is_private() or is_loopback_only():
        return
    if os.name == "nt":
        # Windows has neither namespaces nor an exec that keeps the process.
        os.environ["MULTICAST_LOOPBACK_ONLY"] = "1"
        return
    sys.stdout.flush()
    sys.stderr.flush()
    command = _inside(sys.executable, *sys.orig_argv[1:])
    os.execvp(command[0], command)


def worker_spec() -> str:
    """Return how pytest-xdist starts a worker in a private network of its own (an execnet specification)."""
    return f"popen//python={shlex.join(_inside(sys.executable))}"


def _inside(*argv: str) -> list[str]:
    """Return the command line that runs ``argv`` in a new private network."""
    return ["bash", os.fspath(_SCRIPT), "--hosts", str(_HOSTS), *argv]


def need() -> None:
    """Skip the calling test if the routes of the system lead out of the machine."""
    if not is_private():
        pytest.skip("needs a private network namespace: its datagrams would leave this machine")
