"""Test a receiver in a process that forks: parent and child share the socket, and neither closes it for the other."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multicast.exceptions import ClosedError, UnsupportedError
from multicast.sync import Receiver
from tests.support import waiting
from tests.support.background import running
from tests.support.hosts import Host
from tests.wire.exchange import LOOPBACK, PATIENCE, nothing_more, until_in_poll
from tests.wire.faults import INTERFACE, joined_on, looked, plug_in, resumes, sh, traffic, unplug

pytestmark = pytest.mark.platform("linux", "darwin")


CHILD_SECONDS = 10
"""Seconds after which the system ends a child that is stuck."""


def in_child(do: Callable[[], object]) -> int:
    """Run ``do`` in a forked child. Return its exit code: 0 if ``do`` raised nothing, -SIGALRM if it hung."""
    with warnings.catch_warnings():
        # Python warns of forking with threads, which is what these tests do.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_SECONDS)
            do()
            code = 0
        finally:
            # The child must not run the clean-up of pytest or of the interpreter.
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_fork_close_in_child_does_not_disturb_reader_in_parent() -> None:
    with LOOPBACK.pair() as (tx, rx):
        heard: list[bytes] = []
        reader = threading.Thread(target=lambda: heard.append(rx.recv(timeout=PATIENCE).data))
        reader.start()
        if sys.platform == "linux":
            until_in_poll(f"/proc/self/task/{reader.native_id}")

        def close() -> None:
            rx.close()
            tx.close()
            assert rx.closed
            assert tx.closed

        assert in_child(close) == 0
        tx.send(b"after the child")
        reader.join()
        assert heard == [b"after the child"]
        assert not rx.closed


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
def test_fork_child_with_a_rejoin_after_a_very_long_time_receives() -> None:
    with LOOPBACK.pair(rejoin=1.8e19) as (tx, rx):

        def read() -> None:
            assert rx.recv(timeout=PATIENCE).data == b"x"

        tx.send(b"x")
        assert in_child(read) == 0


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
def test_fork_child_receives_group_joined_by_parent() -> None:
    with LOOPBACK.pair() as (tx, rx):
        tx.send(b"for the child")

        def read() -> None:
            assert rx.recv(timeout=PATIENCE).data == b"for the child"

        assert in_child(read) == 0
        nothing_more(rx, tx)


def test_fork_close_in_child_keeps_the_group_joined() -> None:
    with LOOPBACK.pair() as (tx, rx):
        assert in_child(rx.close) == 0
        nothing_more(rx, tx)


def test_fork_receive_in_child_after_close_raises_closed_error() -> None:
    with LOOPBACK.receiver() as rx:

        def use() -> None:
            rx.close()
            with pytest.raises(ClosedError):
                rx.recv(timeout=0)

        assert in_child(use) == 0


def test_fork_receiver_opened_in_child_receives() -> None:
    with LOOPBACK.pair() as (tx, rx):

        def both_ways() -> None:
            with LOOPBACK.receiver(rx.port) as own:
                tx.send(b"from the child")
                assert own.recv(timeout=PATIENCE).data == b"from the child"

        assert in_child(both_ways) == 0
        assert rx.recv(timeout=PATIENCE).data == b"from the child"


def test_fork_with_busy_threads_child_can_close() -> None:
    # A thread that is inside the core during the fork does not exist in the child, so it cannot release its locks.
    stop = threading.Event()
    with LOOPBACK.pair() as (tx, rx):

        def keep_busy() -> None:
            while not stop.is_set():
                rx.stats()
                tx.send(b"x")
                with contextlib.suppress(TimeoutError):
                    rx.recv_batch(timeout=0)

        threads = [threading.Thread(target=keep_busy) for _ in range(3)]
        for thread in threads:
            thread.start()

        def close() -> None:
            rx.close()
            tx.close()

        try:
            for _ in range(30):
                assert in_child(close) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_fork_while_another_thread_sends_child_can_close_and_sees_it() -> None:
    with LOOPBACK.pair() as (tx, _):

        def send(stop: threading.Event) -> None:
            while not stop.is_set():
                tx.send_many([bytes(60_000)] * 1024)

        def close() -> None:
            tx.close()
            assert tx.closed
            with pytest.raises((ClosedError, UnsupportedError)):
                tx.send(b"x")

        pause = threading.Event()
        with running(send):
            for _ in range(10):
                # The other thread continues to run, and is in the middle of sending.
                pause.wait(0.003)
                assert in_child(close) == 0
        assert not tx.closed


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
def test_fork_close_in_parent_does_not_end_receive_in_child() -> None:
    read_end, write_end = os.pipe()
    with LOOPBACK.pair() as (tx, rx), LOOPBACK.sender(rx.port) as other:

        def receive() -> None:
            # The parent has closed its receiver now.
            assert os.read(read_end, 1) == b"."
            with pytest.raises(TimeoutError):
                rx.recv(timeout=0.05)
            threading.Timer(0.1, other.send, [b"for the child"]).start()
            assert rx.recv(timeout=1).data == b"for the child"

        def close() -> None:
            rx.close()
            tx.close()
            os.write(write_end, b".")

        closer = threading.Timer(0.1, close)
        closer.start()
        assert in_child(receive) == 0
        closer.join()
    os.close(read_end)
    os.close(write_end)


def test_fork_close_in_parent_does_not_end_paced_send_in_child() -> None:
    read_end, write_end = os.pipe()
    with LOOPBACK.pair({"rate": 20.0}) as (tx, rx):

        def send() -> None:
            assert os.read(read_end, 1) == b"."
            assert tx.send_many([b"paced"] * 3) == 3

        def close() -> None:
            tx.close()
            os.write(write_end, b".")

        closer = threading.Timer(0.1, close)
        closer.start()
        assert in_child(send) == 0
        closer.join()
        assert [rx.recv(timeout=PATIENCE).data for _ in range(3)] == [b"paced"] * 3
    os.close(read_end)
    os.close(write_end)


def set_link(state: str) -> None:
    """Take the interface ``mc2`` up or down, and wait until the kernel has announced that."""
    subprocess.run(["ip", "link", "set", "mc2", state], check=True)
    show = ["ip", "-brief", "link", "show", "mc2"]

    def has_state() -> bool:
        return (
            subprocess.run(show, check=True, capture_output=True, text=True).stdout.split()[1]
            == state.upper()
        )

    waiting.until(has_state, f"mc2 to be {state}")


@pytest.fixture
def interface() -> Iterator[str]:
    subprocess.run(["ip", "link", "add", "mc2", "type", "veth", "peer", "name", "mc2-peer"], check=True)
    try:
        subprocess.run(["ip", "link", "set", "mc2-peer", "up"], check=True)
        set_link("up")
        yield "mc2"
    finally:
        subprocess.run(["ip", "link", "del", "mc2"], check=True)


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.parametrize("use", ["poll", "wait", "stats", "several-sockets", "fileno"])
def test_fork_use_in_child_leaves_memberships_and_news_to_the_parent(use: str, interface: str) -> None:
    groups = ["239.9.8.7", "ff15::9:8:7"] if use == "several-sockets" else ["239.9.8.7"]
    with Receiver(groups, 0, interface=interface) as rx:
        before = rx.stats()
        # The first process that reads the news takes them.
        set_link("down")
        set_link("up")

        def act() -> None:
            for _ in range(3):
                if use == "stats":
                    rx.stats()
                elif use == "fileno":
                    select.select([rx.fileno()], [], [], 0.02)
                with pytest.raises(TimeoutError):
                    rx.recv(timeout=0.02 if use == "wait" else 0)
            assert rx.stats().rejoins == before.rejoins

        assert in_child(act) == 0
        waiting.until(lambda: rx.stats().rejoins > before.rejoins, "the parent to hear of the change")


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
@pytest.mark.private_net
@pytest.mark.platform("linux")
def test_fork_child_repairs_its_groups_after_a_later_change(interface: str) -> None:
    with Receiver("239.9.8.7", 0, interface=interface) as rx:

        def act() -> None:
            rejoins = rx.stats().rejoins
            set_link("down")
            set_link("up")
            waiting.until(lambda: rx.stats().rejoins > rejoins, "the child to repair its group")

        assert in_child(act) == 0


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_fork_interface_replaced_before_the_first_call_of_the_child_is_left(
    group: str, interface: str
) -> None:
    with Receiver(group, 0, interface=interface) as rx:
        index = socket.if_nametoindex(interface)

        def replace() -> None:
            # Nothing reports this to the child, which opens its own monitor at its first call.
            sh(f"""ip link del {interface}; ip link add other9 index {index} type veth peer other9p
                ip link set other9 up""")
            try:
                waiting.until(lambda: looked(rx) and rx.groups == (), "the group to be left")
            finally:
                sh(f"ip link del other9; ip link add {interface} type veth peer other9p")

        assert in_child(replace) == 0


SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "v4": ("239.9.9.9", {}),
    "v4 exclude": ("239.9.9.9", {"exclude": ["10.9.0.77", "10.9.0.78"]}),
    "v4 source": ("232.9.9.9", {"source": ["10.9.0.2", "10.9.0.3"]}),
    "v6": ("ff15::9:9", {}),
    "v6 exclude": ("ff15::9:9", {"exclude": ["fd09::77", "fd09::78"]}),
    "v6 source": ("ff35::9:9", {"source": ["fd09::2", "fd09::3"]}),
}


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.parametrize(("group", "choice"), SHARED.values(), ids=SHARED.keys())
def test_fork_interface_that_the_child_joins_first_is_received_by_the_parent(
    group: str, choice: dict[str, Any], hosts: list[Host]
) -> None:
    with Receiver(group, 0, interface="all", **choice) as rx, traffic(hosts[0], group, rx.port):
        plug_in()
        try:
            # Neither process has looked at the interfaces since.
            assert in_child(rx.stats) == 0
            resumes(rx)
            assert socket.if_nametoindex(INTERFACE) in joined_on(rx)
        finally:
            unplug()
