"""Sockets on another host of the bridge, opened in the test's own process. No tests."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts import Host

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x4000_0000


@contextmanager
def on(host: Host) -> Iterator[None]:
    """Let this thread be on ``host``: a socket opened in here belongs there for good (setns(2)).

    What looks interfaces up by name or index, such as joining, must happen in here too.
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
