"""The counters of relays when something goes wrong: no datagram is left out of them."""

import asyncio
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import multicast
from multicast.relay import Relay, Route
from multicast.relay.envelope import Carried
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.faults import sh
from tests.wire.places import on
from tests.wire.relaying import NatsServer, add_up, are_at_rest, eventually, relaying, running_on

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUP, OTHER = "239.4.19.1", "239.4.19.2"
PORT = 49_419


def test_relay_that_ends_counts_what_it_could_not_send_any_more() -> None:
    server = NatsServer()
    relay = Relay([Route(f"{GROUP}:{PORT}%lo", (f"{server.url}/feeds",), buffer=100_000_000)])

    async def main() -> None:
        async with relaying(relay):
            server.signal(signal.SIGSTOP)
            # 72 MB: the kernel holds up to 36 MB for a server that does not read (tcp_rmem and tcp_wmem in tcp(7)).
            async with multicast.aio.Sender(GROUP, PORT, interface="lo", rate=1000.0) as tx:
                await tx.send_many([bytes(60_000)] * 1200)
            await eventually(lambda: relay.stats()[0].received == 1200, "all to be received")

    try:
        asyncio.run(main())
    finally:
        server.kill()
    (leg,) = relay.stats()
    assert leg.buffered > 0
    assert add_up(leg) == 1200


def test_relay_to_a_group_leaves_out_only_what_the_system_refuses(free_port: int) -> None:
    # A payload for IPv6 can be longer than one for IPv4.
    lengths = [1, 65_527, 2, 65_527, 3]
    relay = Relay([Route("nats://127.0.0.1:1/never", (f"{GROUP}:{free_port}%lo",))])

    async def main() -> list[bytes]:
        inputs = relay._open()
        output = inputs[0][1][0]
        with multicast.Receiver(GROUP, free_port, interface="lo") as rx:
            output.put(
                [Carried(bytes(length), GROUP, free_port, ("10.0.0.1", 7), 9, 0) for length in lengths]
            )
            output.finish()
            await output.run()
            output.close()
            assert (output.sent, output.failed, output.buffered) == (3, 2, 0)
            return [rx.recv(timeout=10.0).data for _ in range(3)]

    assert asyncio.run(main()) == [bytes(1), bytes(2), bytes(3)]


def test_relay_counts_the_loss_of_the_first_datagrams(hosts: list[Host]) -> None:
    place = f"udp://{hosts[1].ipv4}:{PORT}"
    there = Relay([Route(f"udp://0.0.0.0:{PORT}", (f"{OTHER}:{PORT}%lo",))])
    here = Relay([Route(f"{GROUP}:{PORT}%eth0", (place,))])
    stop = asyncio.Event()

    async def main() -> None:
        with on(hosts[1]):
            sh("ip link set lo multicast on")
            tasks = [asyncio.ensure_future(there.run(stop))]
            await eventually(lambda: bool(there.stats()), "the relay to open")
        with on(hosts[0]):
            tasks.append(asyncio.ensure_future(here.run(stop)))
            await eventually(lambda: bool(here.stats()), "the relay to open")
            tx = multicast.aio.Sender(GROUP, PORT, interface="eth0")
        async with tx:
            with on(hosts[1]):
                sh(
                    f"nft 'add table inet cut; add chain inet cut i {{ type filter hook input priority 0; }};"
                    f"add rule inet cut i udp dport {PORT} udp length > 60 drop'"
                )
            await tx.send_many([b"lost" * 10] * 100)
            await eventually(lambda: here.stats()[0].sent == 100, "the first to be sent")
            with on(hosts[1]):
                sh("nft delete table inet cut")
            await tx.send_many([b"arrives"] * 10)
            await eventually(lambda: there.stats()[0].received == 10, "the rest to arrive")
        stop.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert there.stats()[0].lost == 100


def test_relay_counts_datagrams_that_a_closed_port_refused(free_port: int) -> None:
    relay = Relay([Route(f"{GROUP}:{PORT}%lo", (f"udp://127.0.0.1:{free_port}",))])

    async def main() -> None:
        async with relaying(relay), multicast.aio.Sender(GROUP, PORT, interface="lo") as tx:
            await tx.send_many([b"x"] * 100)
            await eventually(lambda: add_up(relay.stats()[0]) == 100, "all to be counted")
            (leg,) = relay.stats()
            assert (leg.sent, leg.failed) == (1, 99)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.bind(("127.0.0.1", free_port))
                peer.settimeout(10.0)
                # The refusal of an earlier one does not lose the first that somebody reads.
                await tx.send(b"heard")
                while not (await asyncio.to_thread(peer.recv, 1000)).endswith(b"heard"):
                    pass

    asyncio.run(main())
    (leg,) = relay.stats()
    assert (leg.sent, leg.failed) == (1, 100)


def test_relay_connects_again_after_the_server_has_refused_it(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    open_to_all, closed = "", 'authorization { user: "other", password: "secret" }\n'
    config.write_text(open_to_all)
    server = NatsServer(config=config)
    relay = Relay([Route(f"{GROUP}:{PORT}%lo", (f"{server.url}/feeds",))])

    async def main() -> None:
        async with relaying(relay):
            config.write_text(closed)
            server.signal(signal.SIGHUP)
            await eventually(lambda: relay.stats()[0].connected is False, "the server to refuse")
            config.write_text(open_to_all)
            server.signal(signal.SIGHUP)
            await eventually(lambda: relay.stats()[0].connected is True, "the relay to connect")

    try:
        asyncio.run(main())
    finally:
        server.kill()


def ports_that_forward(bridge: str) -> int:
    shown = subprocess.check_output(["bridge", "link", "show"], text=True)
    return shown.count(f"master {bridge} state forwarding")


def test_two_relays_between_the_same_two_networks_do_not_loop(hosts: list[Host]) -> None:
    """Two hosts relay one group between two networks, in both directions; the third host is in both networks."""
    sh(
        "ip link add br1 type bridge mcast_snooping 0; ip link set br1 up; for k in 1 2 3; do "
        "ip link add q$k type veth peer name eth1 netns h$k; ip link set q$k master br1 up; "
        "ip -n h$k addr add 10.78.0.$k/24 dev eth1; ip -n h$k link set eth1 up; done"
    )
    # The kernel can take a second to notice a carrier, and a bridge forwards nothing before.
    until(lambda: ports_that_forward("br1") == 3, "the new bridge to forward")
    left, right = f"{GROUP}:{PORT}%eth0", f"{GROUP}:{PORT}%eth1"
    both = [Route(left, (right,)), Route(right, (left,))]
    relays = [Relay(both), Relay(both)]
    stop = asyncio.Event()

    async def main() -> None:
        tasks = await running_on(hosts, relays, stop)
        with on(hosts[2]):
            tx = multicast.aio.Sender(GROUP, PORT, interface="eth0", rate=2000.0)
            rx = multicast.aio.Receiver(GROUP, PORT, interface="eth1", gro=False, ring=10_000)
        async with tx, rx:
            await tx.send_many(n.to_bytes(4, "big") for n in range(500))
            # One copy of each relay; or one of them and one that it sends back, because it heard the copy of the other
            # relay before the original.
            await eventually(lambda: are_at_rest(relays, {left: 500}), "all datagrams to be read")
            numbers = {msg.data for msg in await rx.recv_batch(10_000, timeout=10.0)}
            assert len(numbers) == 500
        stop.set()
        await asyncio.gather(*tasks)

    try:
        asyncio.run(main())
    finally:
        sh("ip link del br1; for k in 1 2 3; do ip link del q$k; done")
    legs = [leg for one in relays for leg in one.stats()]
    assert all(add_up(leg) == leg.received for leg in legs)
    assert sum(leg.sent for leg in legs) <= 2000
    assert sum(leg.echoes for leg in legs) >= 500
