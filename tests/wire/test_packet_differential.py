"""Test that both engines deliver the same datagrams of right and wrong frames.

The kernel decides for UDP sockets what is a datagram. Its decisions are the model of the packet engine.
"""

import pytest

from multicast._core import Datagram
from multicast.sync import Receiver
from tests.support.hosts import Host
from tests.wire.exchange import PATIENCE
from tests.wire.frames import Noise, Wrapping, raw_from

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUPS = ["239.9.8.7", "ff15::9:8:7"]
SEED = 20_261_128
ROUNDS = 40
DATAGRAMS = 50
END = b"the end"


def until_end(rx: Receiver) -> list[tuple[object, ...]]:
    """Receive up to the datagram that ends a round."""

    def parts(msg: Datagram) -> tuple[object, ...]:
        return msg.data, msg.sender, msg.group, msg.interface, msg.ttl, msg.truncated

    received: list[tuple[object, ...]] = []
    while True:
        msg = rx.recv(timeout=PATIENCE)
        if msg.data == END:
            return received
        received.append(parts(msg))


@pytest.mark.parametrize("group", GROUPS)
def test_engines_of_random_frames_deliver_the_same(hosts: list[Host], interface: str, group: str) -> None:
    delivered = 0
    with (
        Receiver(group, 0, interface=interface) as sockets,
        Receiver(group, sockets.port, interface=interface, engine="packet", packet_delay=0.001) as packets,
        raw_from(hosts[0], interface) as raw,
    ):
        noise = Noise(SEED, group, sockets.port)
        source = "10.9.0.2" if "." in group else "fd09::2"
        (end,) = Wrapping(source, group, sockets.port, END).frames()
        for _ in range(ROUNDS):
            for _ in range(DATAGRAMS):
                for frame in noise():
                    raw.send(frame)
            raw.send(end)
            expected = until_end(sockets)
            assert until_end(packets) == expected
            delivered += len(expected)
        # Most kinds of frames are wrong in some way, and both kinds must be there.
        assert ROUNDS * DATAGRAMS / 4 < delivered < ROUNDS * DATAGRAMS * 3 / 4
        assert packets.stats().invalid > 0


@pytest.mark.parametrize("engine", ["socket", "packet"])
@pytest.mark.parametrize("group", GROUPS)
def test_receiver_of_tagged_frames_gets_those_of_no_vlan(
    hosts: list[Host], interface: str, group: str, engine: str
) -> None:
    source = "10.9.0.2" if "." in group else "fd09::2"
    with (
        Receiver(group, 0, interface=interface, engine=engine) as rx,  # type: ignore[arg-type]
        raw_from(hosts[0], interface) as raw,
    ):
        for tag in ("8100 0005", "8100 e000", "88a8 0005", "8100 0005 8100 0000", ""):
            (frame,) = Wrapping(source, group, rx.port, tag.encode() or b"none", tag=tag).frames()
            raw.send(frame)
        assert [rx.recv(timeout=PATIENCE).data for _ in range(2)] == [b"8100 e000", b"none"]
        assert rx.stats().received == 2


def test_packet_receiver_of_fragments_to_another_port_counts_none(hosts: list[Host], interface: str) -> None:
    with (
        Receiver("239.9.8.7", 0, interface=interface, engine="packet") as rx,
        raw_from(hosts[0], interface) as raw,
    ):
        for number in range(100):
            other = Wrapping(
                "10.9.0.2", "239.9.8.7", rx.port ^ 1, bytes(2000), id=number, cuts=((0, 1000), (1000, 2008))
            )
            for frame in other.frames():
                raw.send(frame)
        (end,) = Wrapping("10.9.0.2", "239.9.8.7", rx.port, END).frames()
        raw.send(end)
        assert rx.recv(timeout=PATIENCE).data == END
        stats = rx.stats()
        assert (stats.received, stats.unassembled, stats.invalid, stats.filtered) == (1, 0, 0, 0)
