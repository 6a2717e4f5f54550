"""Wait for conditions that no event announces, such as another process binding a UDP socket."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
_PAUSE = 0.01


def until(look: Callable[[], Result | None], what: str, timeout: float = 10.0) -> Result:
    """Call ``look`` repeatedly for ``timeout`` seconds, and return its first true result.

    Raises:
        TimeoutError: The timeout has passed. The message names ``what``.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        pause.wait(_PAUSE)


def until_bound(pid: int, port: int | None = None, timeout: float = 10.0) -> int:
    """Wait until process ``pid`` or a child of it has bound a UDP socket, to ``port`` if given. Return the port."""
    what = f"a UDP socket of process {pid} on port {port or 'any'}"
    return until(lambda: bound_port(pid, port), what, timeout)


def bound_port(pid: int, port: int | None = None) -> int | None:
    """Return the port of a bound UDP socket of process ``pid`` or a child of it, or None. ``port`` selects one."""
    for process in with_descendants(pid):
        found = _bound_ports(process)
        if port in found:
            return port
        if port is None and found:
            return min(found)
    return None


def until_read(port: int, timeout: float = 10.0) -> None:
    """Wait until the IPv4 sockets on a UDP port have read everything, or are closed (Linux)."""

    def look() -> bool:
        sockets = [line.split() for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]]
        mine = [fields[4] for fields in sockets if int(fields[1].rpartition(":")[2], 16) == port]
        return all(int(queues.rpartition(":")[2], 16) == 0 for queues in mine)

    until(look, f"the reader to empty the buffers of port {port}", timeout)


def with_descendants(pid: int) -> list[int]:
    """Return process ``pid`` and all its descendants that exist now."""
    return [pid, *_children(pid)]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        for task in tasks:
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_children(child)]
    except OSError:
        # The process or one of its threads has just ended, so it has no children.
        return found
    return found


def _bound_ports(pid: int) -> set[int]:
    try:
        inodes = {os.fspath(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("udp", "udp6")]
    except OSError:
        # The process has just ended, or the kernel has no IPv6. The caller tries again until its timeout.
        return set()
    ports: set[int] = set()
    for line in (line for table in tables for line in table.splitlines()[1:]):
        fields = line.split()
        port = int(fields[1].rpartition(":")[2], 16)
        if port and f"socket:[{fields[9]}]" in inodes:
            ports.add(port)
    return ports
