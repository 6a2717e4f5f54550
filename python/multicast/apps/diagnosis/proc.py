"""The counters, settings and sockets in the files of Linux under ``/proc``; other systems have none of them."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path

# The files of the calling thread's network namespace, which need not be that of its process.
_NET = Path("/proc/thread-self/net")
_SETTINGS = Path("/proc/sys/net")
_DAD_FAILED = 0x08
CONTAINER_MARKERS = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
"""Files that only containers have, made by Docker, Podman and Kubernetes."""


def counters() -> dict[str, int]:
    """Return the counters of the kernel by name, such as ``Udp.RcvbufErrors`` and ``eth0.rx_dropped``."""
    found: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        lines = _read(_NET / name).splitlines()
        for head, values in zip(lines[::2], lines[1::2], strict=True):
            kind, _, names = head.partition(":")
            numbers = values.partition(":")[2].split()
            found |= {f"{kind}.{key}": int(value) for key, value in zip(names.split(), numbers, strict=True)}
    for line in _read(_NET / "snmp6").splitlines():
        name, value = line.split()
        kind, digit, key = name.partition("6")
        found[f"{kind}{digit}.{key}"] = int(value)
    return found | _interface_counters()


def _interface_counters() -> dict[str, int]:
    """Return how many packets each interface dropped or could not receive, such as ``eth0.rx_dropped``."""
    found: dict[str, int] = {}
    for line in _read(_NET / "dev").splitlines()[2:]:
        name, _, values = line.strip().partition(":")
        _, _, errors, dropped, *_ = values.split()
        found |= {f"{name}.rx_errors": int(errors), f"{name}.rx_dropped": int(dropped)}
    return found


def rises(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return the counters that have risen, and by how much."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value > before.get(name, 0)}


def setting(name: str, default: int = 0) -> int:
    """Return a setting of the kernel, ``net.`` left out, such as ``ipv4/conf/all/rp_filter``."""
    text = _read(_SETTINGS / name).strip()
    return int(text) if text else default


def igmp_version(interface: str) -> int | None:
    """Return the IGMP version that an interface speaks: 1, 2 or 3; None if the system does not say."""
    forced = setting(f"ipv4/conf/{interface}/force_igmp_version") or setting(
        "ipv4/conf/all/force_igmp_version"
    )
    if forced:
        return forced
    for line in _read(_NET / "igmp").splitlines():
        fields = line.split()
        if line[:1].isdigit() and fields[1] == interface:
            return int(fields[-1].removeprefix("V"))
    return None


def duplicate_addresses(interface: str) -> list[str]:
    """Return the IPv6 addresses, with prefix lengths, that another host has as well, so that they are not used."""
    found: list[str] = []
    for line in _read(_NET / "if_inet6").splitlines():
        address, _, prefix, _, flags, name = line.split()
        if name == interface and int(flags, 16) & _DAD_FAILED:
            found.append(f"{ipaddress.IPv6Address(int(address, 16))}/{int(prefix, 16)}")
    return found


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """A UDP socket of this machine."""

    inode: int
    address: str
    """The local address that it is bound to."""
    waiting: int
    """Bytes in its receive buffer."""
    drops: int
    """Datagrams dropped because its receive buffer was full."""


def udp_sockets(port: int) -> list[UdpSocket]:
    """Return the UDP sockets that are bound to ``port``."""
    found: list[UdpSocket] = []
    for name in ("udp", "udp6"):
        for line in _read(_NET / name).splitlines()[1:]:
            fields = line.split()
            address, _, number = fields[1].rpartition(":")
            if int(number, 16) == port:
                waiting = int(fields[4].rpartition(":")[2], 16)
                found.append(UdpSocket(int(fields[9]), _address(address), waiting, int(fields[12])))
    return found


def _address(digits: str) -> str:
    """Return the address that the kernel writes as numbers of 32 bits in the byte order of the machine."""
    words = [int(digits[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def owner(inode: int) -> tuple[int, str] | None:
    """Return the process that has a socket open: its number and its name; None if it cannot be seen."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").glob("[0-9]*"):
        # The process may have ended meanwhile, or belong to another user.
        with contextlib.suppress(OSError):
            if any(os.fspath(entry.readlink()) == wanted for entry in (process / "fd").iterdir()):
                return int(process.name), _read(process / "comm").strip()
    return None


def own_sockets() -> set[int]:
    """Return the inodes of the sockets of this process."""
    found: set[int] = set()
    folder = Path("/proc/self/fd")
    for entry in folder.iterdir() if folder.is_dir() else ():
        # The descriptor of the listing itself is closed by now.
        with contextlib.suppress(FileNotFoundError):
            target = os.fspath(entry.readlink())
            if target.startswith("socket:["):
                found.add(int(target[len("socket:[") : -1]))
    return found


def container_marker() -> str | None:
    """Return the file that shows that this process runs in a container; None if nothing does."""
    return next((marker for marker in CONTAINER_MARKERS if Path(marker).exists()), None)


def _read(path: Path) -> str:
    """Return the text of a file; empty if this system has no such file, or a container hides it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, PermissionError):
        return ""
