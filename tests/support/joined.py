"""Waiting until groups are joined, as the kernel tells it (Linux). A socket is bound before it has joined."""

import socket
from pathlib import Path

from tests.support import waiting


def until_joined(*groups: str, timeout: float = 10.0) -> None:
    """Wait until some socket of the network namespace that this thread is in has joined each of ``groups``.

    Raises:
        TimeoutError: One of them was not joined within ``timeout`` seconds.
    """
    wanted = set(map(_as_in_the_tables, groups))
    waiting.until(lambda: wanted <= _joined(), f"somebody to join {', '.join(groups)}", timeout)


def _as_in_the_tables(group: str) -> str:
    if ":" in group:
        return socket.inet_pton(socket.AF_INET6, group).hex()
    # The number that a little-endian machine sees in the four octets.
    return f"{int.from_bytes(socket.inet_aton(group), 'little'):08X}"


def _joined() -> set[str]:
    tables = Path("/proc/thread-self/net")
    found = {
        line.split()[0] for line in (tables / "igmp").read_text().splitlines() if line.startswith("\t\t\t\t")
    }
    sixth = tables / "igmp6"
    # A kernel without IPv6 has no such table.
    return found | {line.split()[2] for line in sixth.read_text().splitlines()} if sixth.exists() else found
