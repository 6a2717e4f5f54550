"""Test joining and leaving at run time: one group, and more groups than one socket can hold."""

import contextlib
import errno
import random
import socket
from typing import Any

import numpy as np
import pytest

from multicast.sync import Receiver, Sender
from multicast.types import Membership
from tests.wire.exchange import LOOPBACK, PATIENCE, TAKES, Link, Take, name, nothing_more

PAST_THE_LIMIT = 100
"""More groups than one socket holds on Linux (igmp_max_memberships, 20 by default)."""


def group(number: int) -> str:
    return f"239.9.{number // 250}.{number % 250 + 1}"


def sender(rx: Receiver, to: str) -> Sender:
    return Sender(to, rx.port, interface=LOOPBACK.interface)


def send_to_each(rx: Receiver, groups: list[str]) -> None:
    """Send one datagram to each group. Its payload is the group."""
    for one in groups:
        with sender(rx, one) as tx:
            tx.send(one.encode())


def joined(rx: Receiver) -> list[str]:
    return [membership.group for membership in rx.groups]


def other(link: Link) -> Link:
    return Link("239.9.8.8" if "." in link.group else "ff15::9:8:8", link.interface, link.largest)


def test_group_is_received_from_join_until_leave(link: Link) -> None:
    second = other(link)
    with link.pair() as (tx, rx), second.sender(rx.port) as second_tx:
        second_tx.send(b"before the join")
        nothing_more(rx, tx)
        rx.join(second.group, second.interface)
        assert joined(rx) == [link.group, second.group]
        second_tx.send(b"joined")
        heard = rx.recv(timeout=PATIENCE)
        assert (heard.data, heard.group) == (b"joined", second.group)
        nothing_more(rx, tx)
        rx.leave(second.group)
        assert joined(rx) == [link.group]
        second_tx.send(b"after the leave")
        nothing_more(rx, tx)


@pytest.mark.private_net
def test_numbers_of_numpy_are_taken_as_integers() -> None:
    index: Any = np.int64(socket.if_nametoindex("veth0"))
    sizes: dict[str, Any] = {"ring": np.int64(100), "recv_buffer": np.uint32(100_000)}
    numbers: dict[str, Any] = {"ttl": np.uint8(2), "dscp": np.int8(4), "send_buffer": np.int64(100_000)}
    free: Any = np.int64(0)
    with Receiver("239.9.8.7", free, interface=index, **sizes) as rx:
        port: Any = np.uint16(rx.port)
        with Sender("239.9.8.7", port, interface=index, **numbers) as tx:
            tx.send(b"x")
            limit: Any = np.int64(3)
            message = rx.recv_batch(limit, timeout=PATIENCE)[0]
            assert (message.data, message.ttl, message.interface) == (b"x", 2, "veth0")
            hops: Any = np.int64(3)
            tx.ttl = hops
            assert tx.ttl == 3


def test_leave_first_group_then_join_again_receives(link: Link) -> None:
    second = other(link)
    with link.pair() as (tx, rx), second.sender(rx.port) as second_tx:
        rx.join(second.group, second.interface)
        rx.leave(link.group)
        tx.send(b"left")
        nothing_more(rx, second_tx)
        rx.join(link.group, link.interface)
        tx.send(b"again")
        assert rx.recv(timeout=PATIENCE).data == b"again"


def test_receiver_without_groups_receives_nothing_until_a_join(link: Link) -> None:
    with link.pair() as (tx, rx):
        rx.leave(link.group)
        assert rx.groups == ()
        tx.send(b"left")
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        rx.join(link.group, link.interface)
        nothing_more(rx, tx)


def test_join_datagram_queued_before_keeps_its_origin(link: Link) -> None:
    second = other(link)
    with link.pair() as (tx, rx):
        tx.send(b"one")
        index = rx.recv(timeout=PATIENCE).interface_index
        tx.send(b"two")
        rx.join(second.group, second.interface)
        waited = rx.recv(timeout=PATIENCE)
        assert (waited.data, waited.group, waited.interface_index) == (b"two", link.group, index)


def test_groups_lists_group_interface_and_sources() -> None:
    with Receiver([f"10.0.0.1,10.0.0.2@232.9.8.7%{LOOPBACK.interface}"], 0) as rx:
        name, index = rx.groups[0].interface, rx.groups[0].interface_index
        assert (name, index) == ("lo", socket.if_nametoindex("lo"))
        rx.join("239.9.8.7", LOOPBACK.interface, exclude=["10.0.0.3"])
        assert rx.groups == (
            Membership("232.9.8.7", name, index, ("10.0.0.1", "10.0.0.2"), ()),
            Membership("239.9.8.7", name, index, (), ("10.0.0.3",)),
        )


def test_receiver_source_given_twice_is_listed_once() -> None:
    with Receiver(
        "10.0.0.1@232.9.8.7", 0, interface=LOOPBACK.interface, source=["10.0.0.1", "10.0.0.2"]
    ) as rx:
        assert rx.groups[0].sources == ("10.0.0.1", "10.0.0.2")


@pytest.mark.private_net
def test_join_on_interface_chosen_by_the_system_is_rejected() -> None:
    # Without an interface, the routes of the private network lead to the loopback interface.
    with Receiver("239.9.8.7", 0) as rx:
        with pytest.raises(ValueError, match=r"cannot join 239\.9\.8\.7.*: already joined"):
            rx.join("239.9.8.7", "lo")
        assert joined(rx) == ["239.9.8.7"]


def test_receiver_same_group_twice_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"cannot join 239\.9\.8\.7 on lo: already joined"):
        Receiver(["239.9.8.7", "239.9.8.7"], 0, interface=LOOPBACK.interface)


@pytest.mark.parametrize("take", TAKES, ids=name)
def test_groups_past_limit_of_one_socket_are_received_once(take: Take) -> None:
    groups = [group(number) for number in range(PAST_THE_LIMIT)]
    with Receiver(groups, 0, interface=LOOPBACK.interface) as rx:
        assert joined(rx) == groups
        send_to_each(rx, groups)
        heard = take(rx, PAST_THE_LIMIT)
        assert sorted((one.data.decode(), one.group) for one in heard) == sorted((one, one) for one in groups)
        # Nothing is delivered again, neither to a poll nor to a wait.
        for timeout in [0.0] * 20 + [0.01] * 5:
            with pytest.raises(TimeoutError):
                rx.recv(timeout=timeout)
            with pytest.raises(TimeoutError):
                rx.recv_batch(timeout=timeout)
        assert (rx.stats().received, rx.pending) == (PAST_THE_LIMIT, 0)


# The sockets that a packet receiver opens are for its memberships only.
@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
def test_join_opens_sockets_as_needed_and_reuses_their_room() -> None:
    with LOOPBACK.receiver() as rx:
        groups = [group(number) for number in range(PAST_THE_LIMIT)]
        for one in groups:
            rx.join(one, LOOPBACK.interface)
        sockets = rx.stats().sockets
        assert sockets > 2
        left = random.Random(1).sample(groups, PAST_THE_LIMIT // 2)
        for one in left:
            rx.leave(one)
        for one in left:
            rx.join(one, LOOPBACK.interface)
        assert rx.stats().sockets == sockets


def test_leave_group_past_limit_of_one_socket_is_not_received() -> None:
    groups = [group(number) for number in range(PAST_THE_LIMIT)]
    with Receiver(groups, 0, interface=LOOPBACK.interface) as rx:
        for one in groups[::2]:
            rx.leave(one)
        send_to_each(rx, groups)
        heard = [rx.recv(timeout=PATIENCE).data.decode() for _ in groups[1::2]]
        assert sorted(heard) == sorted(groups[1::2])
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)


def test_groups_past_limit_of_one_socket_keep_their_order() -> None:
    groups = [group(number) for number in range(PAST_THE_LIMIT)]
    with Receiver(groups, 0, interface=LOOPBACK.interface) as rx, contextlib.ExitStack() as stack:
        senders = {one: stack.enter_context(sender(rx, one)) for one in groups}
        for number in range(5):
            for tx in senders.values():
                tx.send(bytes([number]))
        heard: dict[str | None, list[int]] = {}
        for _ in range(5 * PAST_THE_LIMIT):
            datagram = rx.recv(timeout=PATIENCE)
            heard.setdefault(datagram.group, []).append(datagram.data[0])
        assert heard == {one: [0, 1, 2, 3, 4] for one in groups}


# The sockets that a packet receiver opens are for its memberships only.
@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
def test_receiver_without_sharing_past_limit_raises_error_with_setting() -> None:
    groups = [group(number) for number in range(PAST_THE_LIMIT)]
    with pytest.raises(OSError, match=r"cannot join 239\.9\.0\.\d+ on lo: .*igmp_max_memberships") as caught:
        Receiver(groups, 0, interface=LOOPBACK.interface, share=False)
    assert caught.value.errno == errno.ENOBUFS


def test_join_several_groups_joins_all_or_none() -> None:
    with LOOPBACK.pair() as (tx, rx):
        with pytest.raises(ValueError, match=r"cannot join 239\.9\.8\.7.*: already joined"):
            rx.join(["239.9.8.1", "239.9.8.2", LOOPBACK.group], LOOPBACK.interface)
        assert joined(rx) == [LOOPBACK.group]
        send_to_each(rx, ["239.9.8.1", "239.9.8.2"])
        nothing_more(rx, tx)
        rx.join(["239.9.8.1", "239.9.8.2"], LOOPBACK.interface)
        assert joined(rx) == [LOOPBACK.group, "239.9.8.1", "239.9.8.2"]


# The sockets that a packet receiver opens are for its memberships only.
@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
def test_join_without_sharing_past_limit_changes_nothing() -> None:
    with LOOPBACK.receiver(share=False) as rx, LOOPBACK.sender(rx.port) as tx:

        def join_all() -> None:
            for number in range(PAST_THE_LIMIT):
                rx.join(group(number), LOOPBACK.interface)

        with pytest.raises(OSError, match="igmp_max_memberships"):
            join_all()
        assert len(rx.groups) < PAST_THE_LIMIT
        assert rx.stats().sockets == 1
        nothing_more(rx, tx)
