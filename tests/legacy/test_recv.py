"""Test ``McastRECV`` and its documented steps: ``joinstep``, ``tryrecv``, ``recvstep``."""

import errno
import logging
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from multicast import Sender, recv
from multicast._core import Receiver as CoreReceiver

GROUP = "239.4.2.1"
OTHER = "239.4.2.2"


@pytest.fixture
def ear() -> recv.McastRECV:
    return recv.McastRECV()


@pytest.fixture
def talking(free_port: int, loopback: str) -> Iterator[int]:
    """A port on which a thread sends "hello" to the group until the test ends."""
    done = threading.Event()

    def talk() -> None:
        with Sender(GROUP, free_port, interface=loopback) as sender:
            while not done.wait(0.01):
                sender.send(b"hello")

    thread = threading.Thread(target=talk)
    thread.start()
    yield free_port
    done.set()
    thread.join()


def test_recv_one_message_is_returned(ear: recv.McastRECV, talking: int, loopback: str) -> None:
    assert ear(group=GROUP, port=talking, iface=loopback) == (True, "hello")


@pytest.mark.parametrize("where", [{"groups": [GROUP, OTHER]}, {"groups": [GROUP], "group": OTHER}], ids=str)
def test_recv_every_given_group_is_received(
    ear: recv.McastRECV, talking: int, loopback: str, where: dict[str, object]
) -> None:
    assert ear(**where, port=talking, iface=loopback) == (True, "hello")


def test_recv_options_of_the_faq_are_accepted(ear: recv.McastRECV, talking: int, loopback: str) -> None:
    options = {"is_daemon": False, "groups": [GROUP], "port": talking, "iface": loopback, "group": GROUP}
    assert ear(**options) == (True, "hello")


def test_recv_other_group_is_not_received(ear: recv.McastRECV, talking: int, loopback: str) -> None:
    assert ear(group=OTHER, port=talking, iface=loopback, timeout=0.1) == (False, None)


def test_recv_source_and_exclude_select_senders(ear: recv.McastRECV, talking: int, loopback: str) -> None:
    def hears(**choice: Any) -> bool:
        return ear(group=GROUP, port=talking, iface=loopback, **choice)[0]

    other = "192.0.2.1"
    assert hears(source=loopback)
    assert hears(source=[other, loopback])
    assert not hears(source=other, timeout=0.1)
    assert hears(exclude=(other,))
    assert not hears(exclude=loopback, timeout=0.1)
    assert hears(source=None, exclude=None)


def test_recv_replaced_hearstep_gets_four_arguments(
    ear: recv.McastRECV, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def step(*args: object) -> str:
        asked.append(args)
        return "replaced"

    monkeypatch.setattr(ear, "_hearstep", step)
    assert ear(group=GROUP, port=5000, iface="lo") == (True, "replaced")
    assert asked == [([], 5000, "lo", GROUP)]


def test_recv_nothing_received_returns_false_and_none(
    ear: recv.McastRECV, free_port: int, loopback: str
) -> None:
    assert ear(group=GROUP, port=free_port, iface=loopback, timeout=0.05) == (False, None)
    assert ear(group=GROUP, port=free_port, iface=loopback, timeout=0) == (False, None)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", ""),
        ("é€😀".encode(), "é€😀"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"\0" * 65507, "\0" * 65507),
    ],
    ids=["empty", "unicode", "no-text", "largest"],
)
def test_recv_any_bytes_become_text(
    ear: recv.McastRECV,
    free_port: int,
    loopback: str,
    monkeypatch: pytest.MonkeyPatch,
    payload: bytes,
    text: str,
) -> None:
    plain_recv = CoreReceiver.recv

    def send_then_receive(self: CoreReceiver, timeout: float | None = None) -> object:
        # The receiver is open, so the datagram cannot be sent too early.
        with Sender(GROUP, free_port, interface=loopback) as sender:
            sender.send(payload)
        return plain_recv(self, timeout)

    monkeypatch.setattr("multicast.sync.Receiver.recv", send_then_receive)
    assert ear(group=GROUP, port=free_port, iface=loopback, timeout=10) == (True, text)


def test_recv_is_std_prints_the_text(
    ear: recv.McastRECV, talking: int, loopback: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ear(group=GROUP, port=talking, iface=loopback)
    assert capsys.readouterr().out == ""
    ear(group=GROUP, port=talking, iface=loopback, is_std=True)
    assert capsys.readouterr().out == "hello\n"


def steps(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == recv.module_logger.name == "multicast.recv"
    ]


def test_recv_replaced_hearstep_result_is_printed_and_logged(
    ear: recv.McastRECV,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[object] = []

    def hear(groups: object, port: object, iface: object, bind_group: object) -> str:
        asked.append((groups, port, iface, bind_group))
        return "from elsewhere"

    monkeypatch.setattr(ear, "_hearstep", hear)
    with caplog.at_level(logging.DEBUG, "multicast"):
        assert ear(groups=[OTHER], port=5, iface="eth0", group=GROUP, is_std=True) == (True, "from elsewhere")
    assert asked == [([OTHER], 5, "eth0", GROUP)]
    assert capsys.readouterr().out == "from elsewhere\n"
    assert steps(caplog) == [("DEBUG", "RECV"), ("DEBUG", "Will Print to Console."), ("INFO", "Success")]


@pytest.mark.parametrize("nothing", ["", None])
def test_recv_replaced_hearstep_returning_nothing_is_a_failure(
    ear: recv.McastRECV,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    nothing: str | None,
) -> None:
    def hear_nothing(*_: object) -> str | None:
        return nothing

    monkeypatch.setattr(ear, "_hearstep", hear_nothing)
    with caplog.at_level(logging.DEBUG, "multicast"):
        assert ear(group=GROUP, is_std=True) == (False, None)
    assert steps(caplog) == [("DEBUG", "RECV"), ("DEBUG", "Nothing Received.")]


def test_recv_defaults_are_the_constants_of_the_package(
    ear: recv.McastRECV, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def record(*where: object) -> None:
        asked.append(where)

    monkeypatch.setattr(ear, "_hearstep", record)
    ear()
    assert asked == [(["224.0.0.1"], 59595, None, None)]


def test_joinstep_returns_a_bound_and_joined_socket(free_port: int, loopback: str) -> None:
    with (
        recv.joinstep([GROUP], free_port, loopback, GROUP) as sock,
        Sender(GROUP, free_port, interface=loopback) as sender,
    ):
        assert type(sock) is socket.socket
        assert sock.getsockname()[1] == free_port
        sock.settimeout(10)
        sender.send(b"hello")
        assert sock.recv(100) == b"hello"


def test_joinstep_several_groups_are_joined(free_port: int, loopback: str) -> None:
    with recv.joinstep([GROUP, OTHER], free_port, loopback) as sock:
        sock.settimeout(10)
        for group in (GROUP, OTHER):
            with Sender(group, free_port, interface=loopback) as sender:
                sender.send(group.encode())
            assert sock.recv(100) == group.encode()


def test_joinstep_given_socket_is_duplicated(free_port: int, loopback: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        with recv.joinstep([GROUP], free_port, loopback, GROUP, mine) as sock:
            assert sock.fileno() != mine.fileno()
            assert sock.getsockname() == mine.getsockname()
        # The duplicate is closed. The kernel's socket lives on in ``mine``, still bound and joined.
        mine.settimeout(10)
        with Sender(GROUP, free_port, interface=loopback) as sender:
            sender.send(b"hello")
        assert mine.recv(100) == b"hello"


@pytest.mark.private_net
def test_joinstep_without_group_warns_and_uses_the_default(free_port: int) -> None:
    with pytest.warns(SyntaxWarning, match="default group"):
        sock = recv.joinstep(None, free_port)
    with sock:
        assert sock.getsockname()[1] == free_port


def test_joinstep_single_group_without_bind_group_warns(free_port: int, loopback: str) -> None:
    with pytest.warns(ResourceWarning, match=GROUP):
        sock = recv.joinstep([GROUP], free_port, loopback)
    sock.close()


def test_joinstep_complete_arguments_do_not_warn(free_port: int, loopback: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recv.joinstep([GROUP], free_port, loopback, GROUP).close()
        recv.joinstep([GROUP, OTHER], free_port, loopback).close()


@pytest.mark.parametrize(
    ("groups", "iface", "port", "code", "words"),
    [
        ([GROUP], "nosuch0", 0, errno.ENODEV, "nosuch0"),
        ([GROUP], "203.0.113.77", 0, errno.EADDRNOTAVAIL, r"203\.0\.113\.77"),
        (["10.0.0.1"], None, 0, errno.EINVAL, r"group must be a multicast address .*, got 10\.0\.0\.1"),
        ([GROUP], None, 70000, errno.EINVAL, "70000"),
    ],
)
def test_joinstep_failure_raises_os_error_with_reason(
    groups: list[str], iface: str | None, port: int, code: int, words: str
) -> None:
    with pytest.raises(OSError, match=words) as caught:
        recv.joinstep(groups, port, iface, GROUP)
    assert caught.value.errno == code


def test_tryrecv_appends_text_and_keeps_the_socket_open(loopback: str) -> None:
    with (
        recv.joinstep([GROUP], 0, loopback, GROUP) as sock,
        Sender(GROUP, sock.getsockname()[1], interface=loopback) as sender,
    ):
        sock.settimeout(10)
        for payload in (b"one", b"\xff", b""):
            sender.send(payload)
        assert recv.tryrecv("before ", None, sock) == "before one"
        assert recv.tryrecv("", None, sock) == "\\xff"
        assert recv.tryrecv(["a"], None, sock) == ["a", ""]
        assert sock.fileno() >= 0


def test_recvstep_appends_text_and_closes_the_socket(loopback: str) -> None:
    sock = recv.joinstep([GROUP], 0, loopback, GROUP)
    sock.settimeout(10)
    with Sender(GROUP, sock.getsockname()[1], interface=loopback) as sender:
        sender.send(b"one")
    assert recv.recvstep("before ", None, sock) == "before one"
    assert sock.fileno() == -1


def test_recvstep_error_closes_the_socket(loopback: str) -> None:
    sock = recv.joinstep([GROUP], 0, loopback, GROUP)
    sock.settimeout(0.01)
    with pytest.raises(TimeoutError):
        recv.recvstep("", None, sock)
    assert sock.fileno() == -1
