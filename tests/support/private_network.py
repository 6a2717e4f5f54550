"""Puts the test run into a network namespace of its own, so that no datagram leaves the machine.

What the namespace looks like is told in ``scripts/dev/netns.sh``; the hosts in it are in ``hosts.py``.
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = ROOT / "scripts" / "dev" / "netns.sh"
_HOSTS = 3


def is_private() -> bool:
    """Tell whether this process is in a namespace that ``scripts/dev/netns.sh`` made.

    The variable alone would not do: it could have come along into an ordinary shell.
    """
    here = Path("/proc/self/ns/net")
    return here.is_symlink() and os.environ.get("MULTICAST_NETNS") == os.fspath(here.readlink())


def is_loopback_only() -> bool:
    """Tell whether no namespace could be had, so that tests keep to the loopback interface by name."""
    return os.environ.get("MULTICAST_LOOPBACK_ONLY") == "1"


def enter() -> None:
    """Start this very command again inside a private network, unless it is in one.

    The process is replaced, so exit code, output and Ctrl-C stay what they are. Returns where there is
    nothing (more) to do.
    """
    if is_private() or is_loopback_only():
        return
    if os.name == "nt":
        # Windows has no namespaces, and no exec that keeps the process either.
        os.environ["MULTICAST_LOOPBACK_ONLY"] = "1"
        return
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execvp("bash", ["bash", os.fspath(_SCRIPT), "--hosts", str(_HOSTS), *command])


def need() -> None:
    """Skip the calling test where the system's own routes lead out of the machine."""
    if not is_private():
        pytest.skip("needs a private network namespace: its datagrams would leave this machine")
