"""Open sockets on another host of the bridge from the process of the test. No tests."""

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts import Machine

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x4000_0000


@contextmanager
def on(host: Machine) -> Generator[None, None, None]:
    """Move this thread to ``host`` for the block: a socket opened in it stays on that host (setns(2)).

    Calls that look up interfaces by name or index, such as joining, must also run in the block.
    """
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", host.name).open() as away:
        _enter(away.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
