"""Describe other programs that send to a group or listen to one, and their arguments. No tests."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.support.hosts import Host
from tests.support.programs import Program

COUNT = 20
"""The number of datagrams that a program sends."""
TTL = 5


@dataclass(frozen=True)
class Kind:
    """An IP version, and whether only one source of the group is wanted."""

    version: int
    specific: bool

    @property
    def group(self) -> str:
        if self.version == 4:
            return "232.9.7.1" if self.specific else "239.9.7.1"
        return "ff35::9:7:1" if self.specific else "ff15::9:7:1"

    @property
    def host(self) -> str:
        """The group in the form that precedes a port."""
        return self.group if self.version == 4 else f"[{self.group}]"

    def address(self, host: Host) -> str:
        return host.ipv4 if self.version == 4 else host.ipv6

    def __str__(self) -> str:
        return f"v{self.version}-{'source' if self.specific else 'any'}"


KINDS = [Kind(version, specific) for version in (4, 6) for specific in (False, True)]


class Socat:
    """Send a file as one datagram, and print what arrives. This version joins no source-specific groups."""

    name = "socat"
    hears: ClassVar[list[Kind]] = [kind for kind in KINDS if not kind.specific]

    def ttl(self, kind: Kind) -> int:
        # It has no option for the hop limit of IPv6.
        return TTL if kind.version == 4 else 1

    def say(self, kind: Kind, port: int, folder: Path) -> list[str]:
        (folder / "said").write_bytes(b"said by socat")
        options = f",ip-multicast-ttl={TTL}" if kind.version == 4 else ""
        target = f"UDP{kind.version}-DATAGRAM:{kind.host}:{port}{options}"
        return ["-u", f"OPEN:{folder}/said", target]

    def said(self) -> list[bytes]:
        return [b"said by socat"]

    def hear(self, kind: Kind, port: int, us: Host, _wanted: Host, _folder: Path) -> list[str]:
        join = (
            f"ip-add-membership={kind.group}:{us.ipv4}"
            if kind.version == 4
            else f"ipv6-join-group={kind.host}:eth0"
        )
        return ["-u", f"UDP{kind.version}-RECV:{port},{join}", "STDOUT"]

    def to_be_heard(self, who: str) -> list[bytes]:
        return [f"{who} {number}\n".encode() for number in range(COUNT)]

    def heard(self, program: Program, _folder: Path) -> bytes:
        return program.out.encode()

    def has_heard_all(self, heard: bytes, who: str) -> bool:
        return heard == b"".join(self.to_be_heard(who))


class Multicat:
    """Play a recording, or make one. It honours the source of an IPv4 group and ignores that of an IPv6 group."""

    name = "multicat"
    hears: ClassVar[list[Kind]] = [kind for kind in KINDS if kind.version == 4 or not kind.specific]
    # One datagram carries seven packets of a transport stream (ISO/IEC 13818-1).
    piece = 1316

    def ttl(self, _kind: Kind) -> int:
        return TTL

    def pieces(self, mark: int) -> list[bytes]:
        return [b"G" + bytes([mark, number]) + bytes(self.piece - 3) for number in range(COUNT)]

    def say(self, kind: Kind, port: int, folder: Path) -> list[str]:
        (folder / "said.ts").write_bytes(b"".join(self.said()))
        # The time of each datagram in ticks of 27 MHz: one datagram per millisecond.
        (folder / "said.aux").write_bytes(b"".join(struct.pack(">Q", tick * 27_000) for tick in range(COUNT)))
        return ["-U", "-t", str(TTL), f"{folder}/said.ts", f"{kind.host}:{port}"]

    def said(self) -> list[bytes]:
        return self.pieces(0)

    def hear(self, kind: Kind, port: int, _us: Host, wanted: Host, folder: Path) -> list[str]:
        source = kind.address(wanted) if kind.specific else ""
        return ["-u", f"{source}@{kind.host}:{port}", f"{folder}/heard.ts"]

    def to_be_heard(self, who: str) -> list[bytes]:
        return self.pieces(who.encode()[0])

    def heard(self, _program: Program, folder: Path) -> bytes:
        return (folder / "heard.ts").read_bytes()

    def has_heard_all(self, heard: bytes, who: str) -> bool:
        return heard == b"".join(self.to_be_heard(who))


class Iperf:
    """Send numbered datagrams, or count them."""

    name = "iperf"
    hears: ClassVar[list[Kind]] = KINDS
    size = 200

    def ttl(self, _kind: Kind) -> int:
        return TTL

    def say(self, kind: Kind, port: int, _folder: Path) -> list[str]:
        version = ["-V"] if kind.version == 6 else []
        amount = ["-l", str(self.size), "-n", str(COUNT * self.size), "-b", "1000pps"]
        return ["-u", *version, "-c", f"{kind.group}%eth0", "-p", str(port), "-T", str(TTL), *amount]

    def said(self) -> None:
        """Return None: the payloads depend on the clock."""

    def hear(self, kind: Kind, port: int, _us: Host, wanted: Host, _folder: Path) -> list[str]:
        version = ["-V"] if kind.version == 6 else []
        source = ["-H", kind.address(wanted)] if kind.specific else []
        return ["-s", "-u", *version, "-e", "-f", "k", "-p", str(port), "-B", f"{kind.group}%eth0", *source]

    def to_be_heard(self, who: str) -> list[bytes]:
        # The header of iperf 2: number, seconds, microseconds, high half of the number. The last number is negative.
        padding = bytes(self.size - 16 - len(who)) + who.encode()
        numbers = [*range(COUNT), -COUNT]
        return [
            struct.pack(">iIIi", number, 1, number & 0xFFFF, -(number < 0)) + padding for number in numbers
        ]

    def heard(self, program: Program, _folder: Path) -> bytes:
        return program.out.encode()

    def has_heard_all(self, heard: bytes, who: str) -> bool:
        # "lost/total" in the final report.
        return f" 0/{COUNT} (0%)".encode() in heard


Foreign = Socat | Multicat | Iperf
PROGRAMS: list[Foreign] = [Socat(), Multicat(), Iperf()]
