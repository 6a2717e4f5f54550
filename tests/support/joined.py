"""Waiting until groups are joined, as the kernel tells it (Linux). A socket is bound before it has joined."""

import socket
from pathlib import Path

from tests.support import waiting


def until_joined(*groups: str, timeout: float = 10.0) -> None:
    """Wait until some socket of this network namespace has joined each of ``groups`` (IPv4).

    Raises:
        TimeoutError: One of them was not joined within ``timeout`` seconds.
    """
    # The table has each group as the number that a little-endian machine sees in its four octets.
    wanted = {f"{int.from_bytes(socket.inet_aton(group), 'little'):08X}" for group in groups}
    waiting.until(lambda: wanted <= _joined(), f"somebody to join {', '.join(groups)}", timeout)


def _joined() -> set[str]:
    lines = Path("/proc/self/net/igmp").read_text().splitlines()
    return {line.split()[0] for line in lines if line.startswith("\t\t\t\t")}
