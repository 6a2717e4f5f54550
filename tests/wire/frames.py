"""Ethernet frames with UDP datagrams, as they are on the wire, right and wrong. No tests."""

import contextlib
import random
import socket
import struct
from collections.abc import Generator
from dataclasses import dataclass, replace

from tests.support.hosts import Host
from tests.wire import places

_UDP = 17
_OPTIONS = 60


@contextlib.contextmanager
def raw_from(host: Host, interface: str) -> Generator[socket.socket, None, None]:
    """Open a socket that sends frames from a host."""
    with places.on(host):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind((interface, 0))
    with raw:
        yield raw


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@dataclass(frozen=True)
class Wrapping:
    """A UDP datagram, and how it is sent.

    Attributes:
        udp_error: Added to the right UDP checksum.
        udp_checksum: Instead of the right UDP checksum.
        udp_length: Instead of the right length in the UDP header.
        ip_error: Added to the right checksum of an IPv4 header.
        length_error: Added to the right length in the IP header.
        options: Options of an IPv4 header, of a multiple of 4 bytes.
        extensions: Extension headers of IPv6, each a kind and its bytes but the first, in order.
        tag: A VLAN tag, as hexadecimal digits.
        padding: Bytes behind the packet.
        cuts: Where to cut it into fragments: pairs of the first and the last byte, both multiples of 8.
    """

    source: str
    group: str
    port: int
    payload: bytes
    hops: int = 1
    udp_error: int = 0
    udp_checksum: int | None = None
    udp_length: int | None = None
    ip_error: int = 0
    length_error: int = 0
    options: bytes = b""
    extensions: tuple[tuple[int, bytes], ...] = ()
    tag: str = ""
    padding: int = 0
    cuts: tuple[tuple[int, int], ...] = ()
    id: int = 7

    @property
    def is_ipv4(self) -> bool:
        return "." in self.group and ":" not in self.group

    @property
    def _addresses(self) -> bytes:
        family = socket.AF_INET if self.is_ipv4 else socket.AF_INET6
        return socket.inet_pton(family, self.source) + socket.inet_pton(family, self.group)

    def _datagram(self) -> bytes:
        length = 8 + len(self.payload)
        ports = struct.pack("!HH", 7, self.port)
        field = length if self.udp_length is None else self.udp_length
        # With a length of 0, the checksum covers the whole packet (IPv6).
        covered = field if 8 <= field <= length else length
        pseudo = self._addresses + struct.pack("!HH", _UDP, covered)
        rest = struct.pack("!H", field) + bytes(2) + self.payload
        right = checksum(pseudo + (ports + rest)[:covered]) or 0xFFFF
        value = right ^ self.udp_error if self.udp_checksum is None else self.udp_checksum
        return ports + struct.pack("!HH", field, value) + self.payload

    def _packet_v4(self, body: bytes, offset: int = 0, more: bool = False) -> bytes:
        header_length = 20 + len(self.options)
        place = offset // 8 | (0x2000 if more else 0)
        length = max(0, header_length + len(body) + self.length_error)
        first = struct.pack(
            "!BBHHHBBH", 0x40 | header_length // 4, 0, length, self.id, place, self.hops, _UDP, 0
        )
        header = first + self._addresses + self.options
        right = checksum(header) ^ self.ip_error
        return header[:10] + struct.pack("!H", right) + header[12:] + body

    def _packet_v6(self, body: bytes, kind: int, extensions: tuple[tuple[int, bytes], ...]) -> bytes:
        for this, content in reversed(extensions):
            body, kind = bytes([kind]) + content + body, this
        length = max(0, len(body) + self.length_error)
        return struct.pack("!IHBB", 6 << 28, length, kind, self.hops) + self._addresses + body

    def packets(self) -> list[bytes]:
        """Return the IP packet, or one for each fragment."""
        body = self._datagram()
        if not self.cuts:
            return [self._packet_v4(body) if self.is_ipv4 else self._packet_v6(body, _UDP, self.extensions)]
        packets: list[bytes] = []
        for start, end in self.cuts:
            part, more = body[start:end], end < len(body)
            if self.is_ipv4:
                packets.append(self._packet_v4(part, start, more))
            else:
                head = struct.pack("!BHI", 0, start | more, self.id)
                packets.append(self._packet_v6(part, _UDP, (*self.extensions, (44, head))))
        return packets

    def frames(self) -> list[bytes]:
        """Return the Ethernet frames."""
        packed = socket.inet_pton(socket.AF_INET if self.is_ipv4 else socket.AF_INET6, self.group)
        to = (
            b"\x01\x00\x5e" + bytes([packed[1] & 0x7F]) + packed[2:]
            if self.is_ipv4
            else b"\x33\x33" + packed[-4:]
        )
        kind = "0800" if self.is_ipv4 else "86dd"
        link = to + bytes.fromhex(f"020000000001 {self.tag} {kind}")
        return [link + packet + bytes(self.padding) for packet in self.packets()]


class Noise:
    """Makes right and wrong datagrams by random numbers."""

    def __init__(self, seed: int, group: str, port: int) -> None:
        self._random = random.Random(seed)
        self._group = group
        self._port = port
        self._count = 0

    def __call__(self) -> list[bytes]:
        """Return the frames of the next datagram."""
        self._count += 1
        payload = b"%d:" % self._count + self._random.randbytes(self._random.choice([0, 0, 1, 40, 1000]))
        is_ipv4 = ":" not in self._group
        plain = Wrapping(
            "10.9.0.2" if is_ipv4 else "fd09::2", self._group, self._port, payload, id=self._count
        )
        changed = self._fault(plain)
        if self._random.random() < 0.1:
            changed = self._fault(changed)
        frames = changed.frames()
        if changed.cuts and self._random.random() < 0.5:
            self._random.shuffle(frames)
        return frames if self._random.random() < 0.9 else [self._damaged(frame) for frame in frames]

    def _damaged(self, frame: bytes) -> bytes:
        """Cut a frame off, or change a byte of its packet."""
        if self._random.random() < 0.5:
            return frame[: self._random.randrange(20, len(frame) + 1)]
        at = self._random.randrange(14, len(frame))
        return frame[:at] + bytes([self._random.randrange(256)]) + frame[at + 1 :]

    def _fault(self, plain: Wrapping) -> Wrapping:
        pick, number = self._random.choice, self._random.randrange
        length = 8 + len(plain.payload)
        v4 = {
            "source": ["224.0.0.5", "127.0.0.1", "255.255.255.255", "0.0.0.0", "0.0.0.1", "250.1.1.1", "10.9.0.77"],
            "options": [
                bytes([1, 1, 1, 0]), bytes([148, 4, 0, 0]), bytes([148, 9, 0, 0]), bytes([1, 1, 1, 68]),
                bytes([131, 7, 4, 10, 9, 0, 9, 0]), bytes([0, 9, 9, 9]),
            ],
            "ip_error": [0, 1, 0x8000],
        }  # fmt: skip
        v6 = {
            "source": ["ff02::5", "::1", "::ffff:10.9.0.2", "fd09::77"],
            "extensions": [
                ((0, bytes([0, 1, 4, 0, 0, 0, 0])),),
                ((0, bytes([0, 5, 2, 0, 0, 1, 0])), (_OPTIONS, bytes([0, 1, 4, 0, 0, 0, 0]))),
                ((_OPTIONS, bytes([0, 1, 4, 0, 0, 1, 0])),),
                ((_OPTIONS, bytes([0, 0x45, 4, 0, 0, 0, 0])),),
                ((_OPTIONS, bytes([0, 0xC5, 4, 0, 0, 0, 0])),),
                ((_OPTIONS, bytes([0, 0x1E, 4, 0, 0, 0, 0])),),
                ((_OPTIONS, bytes([0, 0x1E, 9, 0, 0, 0, 0])),),
                ((_OPTIONS, bytes([1, 1, 12, *bytes(12)])),),
                ((_OPTIONS, bytes([0, 1, 4, 0, 0, 0, 0])), (0, bytes([0, 1, 4, 0, 0, 0, 0]))),
                ((43, bytes([0, 0, 0, 0, 0, 0, 0])),),
                ((44, bytes([0, 0, 0, 0, 0, 0, 9])),),
                ((59, bytes([0, 0, 0, 0, 0, 0, 0])),),
            ],
        }  # fmt: skip
        both: dict[str, list[object]] = {
            "udp_error": [1, 0x100],
            "udp_checksum": [0],
            "udp_length": [0, 7, 8, length - 1, length + 1, 0xFFFF],
            "length_error": [-1, -8, 1, 8],
            "hops": [0, 1, 255],
            "port": [plain.port, plain.port + 1],
            "tag": ["8100 0005", "8100 e000", "88a8 0000"],
            "padding": [1, 40],
            "payload": [b"", bytes(1400)],
        }
        choices = {**both, **(v4 if plain.is_ipv4 else v6)}
        name = pick([*choices, "cuts", "cuts", "cuts"])
        if name != "cuts":
            return replace(plain, **{name: pick(choices[name])})  # type: ignore[arg-type]
        places = sorted({0, *(8 * number(1, length // 8 + 1) for _ in range(number(1, 4)))})
        cuts = list(zip(places, [*places[1:], length], strict=True))
        cuts = [cut for cut in cuts if cut[0] < cut[1]]
        change = number(6)
        if change == 0:
            cuts.append(pick(cuts))
        elif change == 1:
            cuts.pop(number(len(cuts)))
        elif change == 2:
            start, end = pick(cuts)
            cuts.insert(number(len(cuts) + 1), (max(0, start - 8), end))
        return replace(plain, cuts=tuple(cuts))
