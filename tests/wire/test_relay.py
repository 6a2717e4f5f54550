"""Relaying between groups, unicast UDP and NATS: everything arrives once, and what is missing is counted."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import nats
import pytest

import multicast
from multicast.relay import Relay, Route
from tests.support.hosts import Host
from tests.wire.places import on
from tests.wire.relaying import NatsServer, add_up, are_at_rest, eventually, relaying, running_on

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

HERE, THERE = "239.4.17.1", "239.4.17.2"
PORT = 49_417
COUNT = 5000
PAYLOADS = [n.to_bytes(4, "big") * 25 for n in range(COUNT)]


@pytest.fixture
def server() -> Iterator[NatsServer]:
    found = NatsServer()
    yield found
    found.kill()


def jetstream(folder: Path) -> NatsServer:
    """Return a server with JetStream, which keeps its files in this folder."""
    config = folder / "nats.conf"
    config.write_text(f'jetstream {{ store_dir: "{folder}" }}\n')
    return NatsServer(config=config)


@contextlib.asynccontextmanager
async def api_of(server: NatsServer) -> AsyncGenerator[Any, None]:
    """Yield the JetStream API of nats-py, without its types, which are incomplete."""
    client: Any = await cast("Any", nats).connect(server.url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def add_stream(server: NatsServer) -> None:
    """Add a stream for the subject ``feeds``."""
    async with api_of(server) as api:
        await api.add_stream(name="FEEDS", subjects=["feeds"])


async def delete_consumer(server: NatsServer) -> None:
    async with api_of(server) as api:
        await api.delete_consumer("FEEDS", "site-b")


async def send(
    payloads: Sequence[bytes], group: str = HERE, *, rate: float = 20_000.0, **options: object
) -> None:
    async with multicast.aio.Sender(group, PORT, interface="lo", rate=rate, **options) as tx:  # type: ignore[arg-type]
        await tx.send_many(payloads)


async def receive(rx: multicast.aio.Receiver, count: int, seconds: float = 10.0) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        found += (await rx.recv_batch(1024, timeout=seconds)).payloads()
    return found


def receiver(group: str = THERE) -> multicast.aio.Receiver:
    return multicast.aio.Receiver(group, PORT, interface="lo", ring=100_000, gro=False)


def routes(middle: str) -> list[Relay]:
    """Return the relays of a path from one group to the other: one, or two with this place in the middle."""
    if not middle:
        return [Relay([Route(f"{HERE}:{PORT}%lo", (f"{THERE}:{PORT}%lo",))])]
    return [
        Relay([Route(f"{HERE}:{PORT}%lo", (middle,))]),
        Relay([Route(middle, (f"{THERE}:{PORT}%lo",))]),
    ]


def middle_of(kind: str, server: NatsServer, port: int) -> str:
    return {"group": "", "udp": f"udp://127.0.0.1:{port}", "nats": f"{server.url}/feeds.one"}[kind]


@pytest.mark.parametrize("kind", ["group", "udp", "nats"])
def test_relay_passes_every_datagram_on_once_and_in_order(
    kind: str, server: NatsServer, free_port: int
) -> None:
    relays = routes(middle_of(kind, server, free_port))

    async def main() -> None:
        async with receiver() as rx, relaying(*relays):
            received = asyncio.ensure_future(receive(rx, COUNT))
            await send(PAYLOADS)
            assert await received == PAYLOADS

    asyncio.run(main())
    for relay in relays:
        (leg,) = relay.stats()
        assert (leg.received, leg.sent, leg.lost) == (COUNT, COUNT, 0)
        assert add_up(leg) == leg.received


def test_relay_over_nats_keeps_group_and_port_and_limits_the_ttl(server: NatsServer) -> None:
    place = f"{server.url}/feeds"
    # On one machine, the same group would be the same network: the relay at the other end has no way to tell.
    there = Relay([Route(place, ("original%veth0",), ttl=64)])
    here = Relay([Route(f"{HERE}:{PORT}%lo", (place,))])

    async def main() -> None:
        async with relaying(here, there), multicast.aio.Receiver(HERE, PORT, interface="veth0") as rx:
            await send([b"hello"], ttl=9)
            msg = await rx.recv(timeout=10.0)
            assert (msg.data, msg.group, msg.interface, msg.ttl) == (b"hello", HERE, "veth0", 8)

    asyncio.run(main())


def test_relay_counts_what_a_killed_server_lost(server: NatsServer) -> None:
    here, there = relays = routes(f"{server.url}/feeds")
    half = COUNT // 2

    async def main() -> None:
        async with receiver() as rx, relaying(*relays):
            received = asyncio.ensure_future(receive(rx, half))
            await send(PAYLOADS[:half])
            assert await received == PAYLOADS[:half]
            server.kill()
            await send(PAYLOADS[half:])
            await eventually(lambda: here.stats()[0].received == COUNT, "the rest to arrive")
            server.start()
            await eventually(
                lambda: there.stats()[0].received + there.stats()[0].lost == COUNT,
                "all to be accounted for",
                20.0,
            )

    asyncio.run(main())
    (sent,), (received,) = (relay.stats() for relay in relays)
    assert sent.sent + sent.dropped + sent.failed == COUNT
    assert received.received + received.lost == sent.sent
    assert received.sent == received.received
    # Datagrams that were not sent when the server went waited for it.
    assert received.received > half


def test_relay_with_a_durable_consumer_gets_what_was_published_while_it_was_away(tmp_path: Path) -> None:
    server = jetstream(tmp_path)
    place = f"{server.url}/feeds"
    here = Relay([Route(f"{HERE}:{PORT}%lo", (place,))])

    async def main() -> None:
        async with receiver() as rx, relaying(here):
            # The relay waits for a stream, which comes later.
            async with relaying(Relay([Route(f"{place}?durable=site-b", (f"{THERE}:{PORT}%lo",))])):
                await add_stream(server)
                await send(PAYLOADS[:100])
                assert await receive(rx, 100) == PAYLOADS[:100]
            await send(PAYLOADS[100:200])
            await eventually(lambda: here.stats()[0].sent == 200, "all to be published")
            async with relaying(Relay([Route(f"{place}?durable=site-b", (f"{THERE}:{PORT}%lo",))])):
                assert await receive(rx, 100) == PAYLOADS[100:200]

    try:
        asyncio.run(main())
    finally:
        server.kill()


def test_relay_with_a_durable_consumer_that_stops_during_a_feed_leaves_nothing_unacknowledged(
    tmp_path: Path,
) -> None:
    """The server repeats what is not acknowledged after 30 seconds, which is longer than the test waits."""
    server = jetstream(tmp_path)
    place = f"{server.url}/feeds"
    here = Relay([Route(f"{HERE}:{PORT}%lo", (place,))])
    parts = [Relay([Route(f"{place}?durable=site-b", (f"{THERE}:{PORT}%lo",))]) for _ in range(5)]

    async def main() -> None:
        await add_stream(server)
        async with receiver() as rx, relaying(here):
            feed = asyncio.ensure_future(send(PAYLOADS, rate=2000.0))
            found: list[bytes] = []
            for relay in parts:
                async with relaying(relay):
                    found += await receive(rx, 300)
            async with relaying(Relay([Route(f"{place}?durable=site-b", (f"{THERE}:{PORT}%lo",))])):
                found += await receive(rx, COUNT - len(found))
            await feed
            assert found == PAYLOADS

    try:
        asyncio.run(main())
    finally:
        server.kill()
    assert all(add_up(leg) == leg.received and not leg.buffered for relay in parts for leg in relay.stats())


@pytest.mark.parametrize("event", ["the server is killed", "the consumer is deleted"])
def test_relay_with_a_durable_consumer_goes_on_after_a_failure(event: str, tmp_path: Path) -> None:
    server = jetstream(tmp_path)
    place = f"{server.url}/feeds"
    here = Relay([Route(f"{HERE}:{PORT}%lo", (place,))])
    there = Relay([Route(f"{place}?durable=site-b", (f"{THERE}:{PORT}%lo",))])

    async def main() -> None:
        await add_stream(server)
        async with receiver() as rx, relaying(here, there):
            await send(PAYLOADS[:100])
            assert await receive(rx, 100) == PAYLOADS[:100]
            if event == "the server is killed":
                server.kill()
                server.start()
            else:
                await delete_consumer(server)
            await send(PAYLOADS[100:200])
            assert await receive(rx, 100) == PAYLOADS[100:200]

    try:
        asyncio.run(main())
    finally:
        server.kill()
    # A consumer that was created again, or whose state was not on the disk yet, repeats datagrams.
    (leg,) = there.stats()
    assert (leg.sent, leg.lost) == (200, 0)
    assert add_up(leg) == leg.received


def test_relay_drops_and_counts_what_exceeds_the_buffer(server: NatsServer) -> None:
    place = f"{server.url}/feeds"
    relay = Relay([Route(f"{HERE}:{PORT}%lo", (place,), buffer=100_000)])

    async def main() -> None:
        async with relaying(relay):
            server.kill()
            await eventually(lambda: relay.stats()[0].connected is False, "the relay to notice")
            await send(PAYLOADS)
            await eventually(lambda: relay.stats()[0].received == COUNT, "all to arrive")
            (leg,) = relay.stats()
            assert leg.dropped > COUNT // 2
            assert leg.buffered > 500
            assert add_up(leg) == COUNT

    asyncio.run(main())


def test_two_relays_between_the_same_groups_do_not_loop(hosts: list[Host], free_port: int) -> None:
    """Two relays pass each group on to the other, on two hosts of one network."""
    both = [
        Route(f"{HERE}:{PORT}%eth0", (f"{THERE}:{PORT}%eth0",)),
        Route(f"{THERE}:{PORT}%eth0", (f"{HERE}:{PORT}%eth0",)),
    ]
    relays = [Relay(both), Relay(both)]

    async def main() -> None:
        stop = asyncio.Event()
        tasks = await running_on(hosts, relays, stop)
        with on(hosts[2]):
            tx = multicast.aio.Sender(HERE, PORT, interface="eth0", rate=2000.0)
            rx = multicast.aio.Receiver([HERE, THERE], PORT, interface="eth0", gro=False, ring=10_000)
        async with tx, rx:
            await tx.send_many(PAYLOADS[:200])
            await eventually(
                lambda: are_at_rest(relays, {f"{HERE}:{PORT}%eth0": 200}), "all datagrams to be read"
            )
            copies = sum(leg.sent for relay in relays for leg in relay.stats())
            await eventually(lambda: rx.stats().received == 200 + copies, "the copies")
            # One copy from each relay, and perhaps some that were passed on before the original was heard.
            assert 400 <= copies <= 600
        stop.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert sum(leg.echoes for relay in relays for leg in relay.stats()) >= 400


def test_facing_relays_over_nats_do_not_loop(server: NatsServer) -> None:
    """Two relays join the same group to the same subject, in both directions."""
    place = f"{server.url}/feeds"
    both = [Route(f"{HERE}:{PORT}%lo", (place,)), Route(place, (f"{HERE}:{PORT}%lo",))]
    relays = [Relay(both), Relay(both)]

    def are_over() -> bool:
        """Return whether the relays have read all datagrams of the group, and all envelopes of each other."""
        outwards, inwards = zip(*(relay.stats() for relay in relays), strict=True)
        total = 500 + sum(leg.sent for leg in inwards)
        envelopes = [leg.sent for leg in outwards]
        return (
            not any(leg.buffered for leg in (*outwards, *inwards))
            and all(leg.received + leg.lost_here == total for leg in outwards)
            and [leg.received for leg in inwards] == envelopes[::-1]
        )

    async def main() -> None:
        async with receiver(HERE) as rx, relaying(*relays):
            await send(PAYLOADS[:500])
            await eventually(are_over, "all datagrams to be read")
            # A relay that gets an envelope before it hears the datagram itself sends a copy, which goes no further.
            assert rx.stats().received < 1000

    asyncio.run(main())


@pytest.mark.parametrize(
    ("source", "to", "message"),
    [
        ("224.0.0.251:5353", "239.1.2.3:5000", "224.0.0.251 must not be relayed"),
        ("239.1.2.3:5000", "[ff02::fb%lo]:5353", "ff02::fb must not be relayed"),
        ("239.1.2.3", "udp://10.0.0.1:7", "needs a port from 1 to 65535, as in 239.1.2.3:5000"),
        ("ff02::1%lo", "udp://10.0.0.1:7", r"needs a port from 1 to 65535, as in \[ff02::1%lo\]:5000"),
        ("239.1.2.3:5000", "239.1.2.3:5000", "must not send to where it receives"),
        ("239.1.2.3:5000", "239.1.2.0/24:5000", "sends to one group"),
        ("239.1.2.3:5000", "10.0.0.1:5000", "must be a group, udp:// or nats://"),
        ("239.1.2.3:5000", "http://10.0.0.1/x", "must be a group, udp:// or nats://"),
        ("239.1.2.3:5000", "udp://10.0.0.1", "must be udp://HOST:PORT"),
        ("239.1.2.3:5000", "nats://10.0.0.1", "must be nats://HOST"),
        ("239.1.2.3:5000", "nats://10.0.0.1/a.*", "without wildcards"),
        ("239.1.2.3:5000", "nats://10.0.0.1/a?durable=b", "only a NATS source"),
        ("nats://10.0.0.1/a?durable=b.c", "239.1.2.3:5000", "may have .durable=NAME"),
        ("nats://10.0.0.1/a?queue=b", "239.1.2.3:5000", "may have .durable=NAME"),
        ("original", "239.1.2.3:5000", "original"),
        ("239.1.2.3:5000", "original%all", "one interface, got 'original%all'"),
        ("239.1.2.3:5000", "239.1.2.4:5000%all", "one interface, got '239.1.2.4:5000%all'"),
    ],
)
def test_relay_with_a_wrong_place_raises_and_names_it(source: str, to: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Relay([Route(source, (to,))])


def test_relay_of_original_to_a_missing_interface_fails_at_the_start() -> None:
    relay = Relay([Route(f"{HERE}:{PORT}%lo", ("original%nope",))])
    with pytest.raises(OSError, match=r"cannot send to original%nope: No such device \(interfaces here: lo"):
        asyncio.run(asyncio.wait_for(relay.run(), 10))


def test_relay_that_cannot_join_raises_that_error_beside_a_route_to_nats() -> None:
    relay = Relay([Route(f"{HERE}:{PORT}%nope", ("nats://127.0.0.1:1/x",))])
    with pytest.raises(OSError, match="nope") as caught:
        asyncio.run(asyncio.wait_for(relay.run(), 10))
    assert caught.value.errno == errno.ENODEV
    assert relay.unreached == {"nats://127.0.0.1:1": ""}


def test_relay_without_the_stream_of_its_consumer_has_not_reached_the_subject(tmp_path: Path) -> None:
    server = jetstream(tmp_path)
    place = f"{server.url}/feeds?durable=site-b"
    relay = Relay([Route(place, (f"{THERE}:{PORT}%lo",))])

    async def main() -> None:
        async with relaying(relay):
            await eventually(lambda: bool(relay.unreached.get(place)), "the reason")
            await add_stream(server)
            await eventually(lambda: not relay.unreached, "the consumer")

    try:
        asyncio.run(main())
    finally:
        server.kill()


@pytest.mark.parametrize("to_group", [False, True])
def test_relay_of_unicast_with_a_name_of_a_group_raises(to_group: bool) -> None:
    """The number is another way to write 239.1.2.3. A name of a host can stand for a group as well."""
    places = ("udp://4009820675:5000", f"{HERE}:{PORT}%lo")
    relay = Relay([Route(places[to_group], (places[not to_group],))])
    with pytest.raises(OSError, match=r"write 239\.1\.2\.3:5000 for a group"):
        asyncio.run(asyncio.wait_for(relay.run(), 10))


def test_relay_of_link_scope_runs_if_it_is_allowed() -> None:
    Relay([Route("224.0.0.251:5353", ("239.1.2.3:5000",), link_scope=True)])
