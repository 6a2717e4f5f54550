"""Arguments that ``Sender`` and ``Receiver`` refuse, before any system call is made.

What the system refuses is in ``tests/wire/test_open_errors.py``.
"""

import contextlib
import errno
import math
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multicast.sync import Receiver, Sender

GROUP = "239.1.2.3"


@contextlib.contextmanager
def nothing_can_be_opened() -> Iterator[None]:
    """No descriptor can be had: whoever opens a socket first and looks at the arguments then gets an EMFILE."""
    resource = pytest.importorskip("resource", reason="needs a limit on descriptors, which Windows has not")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


REFUSED_BY_BOTH = [
    (
        ("10.0.0.1", 5000),
        {},
        ValueError,
        "10.0.0.1 is not a multicast address (224.0.0.0 to 239.255.255.255)",
    ),
    (("240.0.0.1", 5000), {}, ValueError, "240.0.0.1 is not a multicast address"),
    (("fd00::1", 5000), {}, ValueError, "fd00::1 is not a multicast address (ff00::/8)"),
    (("group", 5000), {}, ValueError, '"group" is not an IPv4 or IPv6 address'),
    (("239.1.2", 5000), {}, ValueError, '"239.1.2" is not an IPv4 or IPv6 address'),
    (("", 5000), {}, ValueError, "'' names no group"),
    ((GROUP,), {}, ValueError, "no port was given"),
    ((GROUP, -1), {}, ValueError, "from 0 to 65535, not -1"),
    ((GROUP, 65536), {}, ValueError, "from 0 to 65535, not 65536"),
    ((GROUP, "5000"), {}, TypeError, "a port is a number (int), not str"),
    ((GROUP, 5000.0), {}, TypeError, "a port is a number (int), not float"),
    ((GROUP, True), {}, TypeError, "a port is a number (int), not bool"),
    ((f"{GROUP}:5000", 5001), {}, ValueError, "the port is given twice, as 5001 and as 5000"),
    ((f"{GROUP}:99999",), {}, ValueError, "has the port '99999'"),
    ((GROUP, 5000), {"interface": 0}, ValueError, "interface index 0 names no interface"),
    ((GROUP, 5000), {"interface": -1}, ValueError, "interface index -1 is out of range"),
    ((GROUP, 5000), {"interface": 2**32}, ValueError, "interface index 4294967296 is out of range"),
    ((GROUP, 5000), {"interface": "99999999999"}, ValueError, "interface index 99999999999 is out of range"),
    ((GROUP, 5000), {"interface": True}, TypeError, "not bool"),
    ((GROUP, 5000), {"interface": 1.0}, TypeError, "not float"),
    ((GROUP, 5000), {"interface": b"lo"}, TypeError, "not bytes"),
    ((GROUP, 5000), {"interface": ""}, ValueError, '"" cannot be the name of an interface'),
    ((GROUP, 5000), {"interface": "a b"}, ValueError, '"a b" cannot be the name of an interface'),
    ((GROUP, 5000), {"interface": "a/b"}, ValueError, '"a/b" cannot be the name of an interface'),
    ((GROUP, 5000), {"interface": GROUP}, ValueError, f"{GROUP} is a group, not an address of an interface"),
    (("ff02::1", 5000), {}, ValueError, "name one, as in ff02::1%eth0"),
    (("ff01::1", 5000), {}, ValueError, "name one, as in ff01::1%eth0"),
    ((GROUP, 5000), {"loopback": 1}, TypeError, "not an instance of 'bool'"),
    ((GROUP, 5000), {"colour": "red"}, TypeError, "colour"),
]

REFUSED_BY_RECEIVER = [
    ((), {}, TypeError, "group"),
    (([], 5000), {}, ValueError, "a receiver needs a group to join, or an address to bind to"),
    ((None, 5000), {}, TypeError, "a group is text, or several of them are, not NoneType"),
    ((b"239.1.2.3", 5000), {}, TypeError, "a group is text, or several of them are, not bytes"),
    (([None], 5000), {}, TypeError, "not NoneType"),
    (("ff15::1:5000",), {}, ValueError, "as in '[ff15::1]:5000'"),
    ((["239.1.2.3", "ff15::1:5000"],), {}, ValueError, "as in '[ff15::1]:5000'"),
    ((GROUP, 5000), {"interface": ["lo", "all"]}, ValueError, '"all" means every interface'),
    (("ff35::1", 5000), {"source": "::ffff:10.0.0.1"}, ValueError, "of different IP versions"),
    (([f"{GROUP}:5000", "239.1.2.4:5001"],), {}, ValueError, "as 5000 and as 5001"),
    ((GROUP, 5000), {"source": 5}, TypeError, "a source is text, or several of them are, not int"),
    ((GROUP, 5000), {"exclude": 5}, TypeError, "an excluded source is text, or several of them are, not int"),
    ((GROUP, 5000), {"source": [5]}, TypeError, "not an instance of 'str'"),
    ((GROUP, 5000), {"source": "host"}, ValueError, '"host" is not an IPv4 or IPv6 address'),
    (
        (GROUP, 5000),
        {"source": "fd00::1"},
        ValueError,
        f"fd00::1 and group {GROUP} are of different IP versions",
    ),
    ((GROUP, 5000), {"exclude": "fd00::1"}, ValueError, "of different IP versions"),
    ((GROUP, 5000), {"source": "239.1.1.1"}, ValueError, "239.1.1.1 cannot be the source of a datagram"),
    ((GROUP, 5000), {"source": "0.0.0.0"}, ValueError, "0.0.0.0 cannot be the source of a datagram"),
    ((GROUP, 5000), {"source": "255.255.255.255"}, ValueError, "cannot be the source of a datagram"),
    ((GROUP, 5000), {"source": "10.0.0.1", "exclude": "10.0.0.2"}, ValueError, "not both"),
    (("232.1.2.3", 5000), {}, ValueError, "name its source, as in 10.0.0.1@232.1.2.3"),
    (("232.1.2.3", 5000), {"exclude": "10.0.0.1"}, ValueError, "source-specific group (RFC 4607)"),
    (("ff35::1", 5000), {}, ValueError, "source-specific group (RFC 4607)"),
    ((GROUP, 5000), {"bind": "here"}, ValueError, '"here" is not an IPv4 or IPv6 address'),
    ((GROUP, 5000), {"bind": 5}, TypeError, "not an instance of 'str'"),
    ((GROUP, 5000), {"recv_buffer": 0}, ValueError, "a number of octets from 1 to 2147483647, not 0"),
    ((GROUP, 5000), {"recv_buffer": -1}, ValueError, "a number of octets from 1 to 2147483647, not -1"),
    ((GROUP, 5000), {"recv_buffer": 2**31}, ValueError, "from 1 to 2147483647, not 2147483648"),
    ((GROUP, 5000), {"recv_buffer": "large"}, ValueError, "a number of octets, 'auto' or None, not 'large'"),
    ((GROUP, 5000), {"recv_buffer": 1.5}, TypeError, "a number of octets (int) or None, not float"),
    ((GROUP, 5000), {"recv_buffer": True}, TypeError, "a number of octets (int) or None, not bool"),
    ((GROUP, 5000), {"share": "yes"}, TypeError, "not an instance of 'bool'"),
    ((GROUP, 5000), {"strict": None}, TypeError, "not an instance of 'bool'"),
    ((GROUP, 5000), {"gro": 1}, TypeError, "not an instance of 'bool'"),
]

REFUSED_BY_SENDER = [
    ((), {}, TypeError, "group"),
    (([GROUP], 5000), {}, TypeError, "not list"),
    (("239.1.2.0/30", 5000), {}, ValueError, "stands for several groups; a sender sends to one"),
    ((f"{GROUP}+2", 5000), {}, ValueError, "stands for several groups; a sender sends to one"),
    (("ff15::1:5000",), {}, ValueError, "as in '[ff15::1]:5000'"),
    ((GROUP, 5000), {"interface": "all"}, ValueError, "a sender sends by one interface"),
    ((GROUP, 0), {}, ValueError, "port 0 is none to send to"),
    ((f"10.0.0.1@{GROUP}", 5000), {}, ValueError, "names a source; a sender's source is this machine"),
    ((GROUP, 5000), {"ttl": 256}, ValueError, "a number of hops from 0 to 255, not 256"),
    ((GROUP, 5000), {"ttl": -1}, ValueError, "a number of hops from 0 to 255, not -1"),
    ((GROUP, 5000), {"ttl": "1"}, TypeError, "a number of hops (int), not str"),
    ((GROUP, 5000), {"ttl": True}, TypeError, "a number of hops (int), not bool"),
    ((GROUP, 5000), {"ttl": None}, TypeError, "a number of hops (int), not NoneType"),
    ((GROUP, 5000), {"send_buffer": 0}, ValueError, "a number of octets from 1 to 2147483647, not 0"),
    ((GROUP, 5000), {"send_buffer": "auto"}, TypeError, "a number of octets (int) or None, not str"),
    ((GROUP, 5000), {"gso": 1}, TypeError, "not an instance of 'bool'"),
]

CASES: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    *((Receiver, *case) for case in REFUSED_BY_BOTH + REFUSED_BY_RECEIVER),
    *((Sender, *case) for case in REFUSED_BY_BOTH + REFUSED_BY_SENDER),
    (
        Receiver.adopt,
        ("x", GROUP, 5000),
        {},
        TypeError,
        "a socket or its descriptor (int) is adopted, not str",
    ),
    (Receiver.adopt, (True, GROUP, 5000), {}, TypeError, "is adopted, not bool"),
]


def written(call: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    parts = [repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{call.__name__}({', '.join(parts)})"


@pytest.mark.parametrize(
    ("call", "args", "kwargs", "error", "part"), CASES, ids=[written(*case[:3]) for case in CASES]
)
def test_bad_input_is_refused_before_any_system_call(
    call: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    error: type[Exception],
    part: str,
) -> None:
    with pytest.raises(error) as caught, nothing_can_be_opened():
        call(*args, **kwargs)
    # Exactly the class: no subclass that says something else.
    assert type(caught.value) is error
    assert part in str(caught.value)


def test_good_input_does_meet_the_system(loopback: str) -> None:
    with pytest.raises(OSError, match="too many open files") as caught, nothing_can_be_opened():
        Sender(GROUP, 5000)
    assert caught.value.errno == errno.EMFILE


class TestOpen:
    """Calls on an open object; nothing is ever sent."""

    @pytest.fixture
    def rx(self, loopback: str) -> Iterator[Receiver]:
        # Bound to the host and not strict, so that a plain unicast datagram reaches it.
        with Receiver(GROUP, 0, interface=loopback, bind=loopback, strict=False) as rx:
            yield rx

    @pytest.fixture
    def tx(self, loopback: str) -> Iterator[Sender]:
        with Sender(GROUP, 5000, interface=loopback) as tx:
            yield tx
        assert tx.stats().sent == 0, "something was sent before the arguments were looked at"

    @pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan])
    def test_a_timeout_is_no_negative_number(self, rx: Receiver, tx: Sender, timeout: float) -> None:
        refused = "a timeout is a number of seconds from 0, not"
        with pytest.raises(ValueError, match=refused):
            rx.recv(timeout=timeout)
        with pytest.raises(ValueError, match=refused):
            rx.recv_batch(timeout=timeout)
        with pytest.raises(ValueError, match=refused):
            tx.send(b"", timeout=timeout)
        with pytest.raises(ValueError, match=refused):
            tx.send_many([b""], timeout=timeout)

    @pytest.mark.parametrize("timeout", ["1", [1], b"1"])
    def test_a_timeout_is_a_number(self, rx: Receiver, timeout: Any) -> None:
        with pytest.raises(TypeError):
            rx.recv(timeout=timeout)

    @pytest.mark.parametrize("most", [0, -1])
    def test_a_batch_has_room_for_one(self, rx: Receiver, most: int) -> None:
        with pytest.raises(ValueError, match=rf"a batch holds at least 1 datagram, not {most}"):
            rx.recv_batch(max=most, timeout=0)

    @pytest.mark.parametrize("most", [None, "1", 1.5])
    def test_the_size_of_a_batch_is_a_whole_number(self, rx: Receiver, most: Any) -> None:
        with pytest.raises(TypeError):
            rx.recv_batch(max=most, timeout=0)

    @pytest.mark.parametrize("message", ["text", None, 5, [1, 2], ("a",)])
    def test_a_message_is_a_buffer(self, tx: Sender, message: Any) -> None:
        name = type(message).__name__
        with pytest.raises(TypeError, match=f"a message is bytes or another buffer, not {name}"):
            tx.send(message)
        with pytest.raises(TypeError, match=f"a message is bytes or another buffer, not {name}"):
            tx.send_many([b"good", message, b"good"])

    @pytest.mark.parametrize("messages", [b"octets", "text", None, 5])
    def test_messages_are_several_buffers(self, tx: Sender, messages: Any) -> None:
        with pytest.raises(TypeError):
            tx.send_many(messages)

    def test_a_message_fits_a_datagram(self, tx: Sender) -> None:
        with pytest.raises(ValueError, match=r"65508 octets .* 239.1.2.3:5000 .*\(65507 at most\)"):
            tx.send(bytes(65_508))
        with pytest.raises(ValueError, match=r"65507 at most"):
            tx.send_many([b"good", bytes(65_508)])

    @pytest.mark.parametrize(
        ("groups", "told"),
        [
            ([], "239.1.2.3"),
            (["239.2.0.0+3"], "239.1.2.3, 239.2.0.0, 239.2.0.1, 239.2.0.2"),
            (["239.2.0.0+2000"], "239.1.2.3, 239.2.0.0, 239.2.0.1, 1998 more"),
        ],
    )
    def test_of_many_groups_few_are_shown(
        self, rx: Receiver, loopback: str, groups: list[str], told: str
    ) -> None:
        rx.join(groups, loopback)
        assert repr(rx) == f"<Receiver on port {rx.port}: {told}>"

    def test_an_error_of_the_iterable_comes_through(self, tx: Sender) -> None:
        # What it gave before goes first: tests/wire/test_send_many.py.
        def messages() -> Iterator[bytes]:
            raise LookupError("no more")
            yield b"never"

        with pytest.raises(LookupError, match="no more"):
            tx.send_many(messages())

    @pytest.mark.parametrize(
        ("group", "options", "error", "part"),
        [
            (GROUP, {}, ValueError, "239.1.2.3 is joined already"),
            ("10.0.0.1", {}, ValueError, "10.0.0.1 is not a multicast address"),
            ("239.1.2.4:1", {}, ValueError, "the port is given twice"),
            ("239.1.2.4", {"interface": 0}, ValueError, "interface index 0 names no interface"),
            ("239.1.2.4", {"source": "10.0.0.1", "exclude": "10.0.0.2"}, ValueError, "not both"),
            ("232.1.2.4", {}, ValueError, "source-specific"),
            ("ff02::114", {}, ValueError, "name one, as in ff02::114%eth0"),
            (["239.1.2.4", 5], {}, TypeError, "not int"),
            (["239.1.2.4", "10.0.0.1"], {}, ValueError, "10.0.0.1 is not a multicast address"),
            (None, {}, TypeError, "not NoneType"),
        ],
    )
    def test_a_group_that_cannot_be_joined_changes_nothing(
        self,
        rx: Receiver,
        loopback: str,
        group: Any,
        options: dict[str, Any],
        error: type[Exception],
        part: str,
    ) -> None:
        before = rx.groups, rx.stats()
        with pytest.raises(error) as caught:
            rx.join(group, **({"interface": loopback if group == GROUP else None} | options))
        assert part in str(caught.value)
        assert (rx.groups, rx.stats()) == before

    @pytest.mark.parametrize(
        ("group", "error", "part"),
        [
            ("239.1.2.4", ValueError, "239.1.2.4 is not joined, so it cannot be left"),
            ("10.0.0.1", ValueError, "10.0.0.1 is not a multicast address"),
            ("239.1.2.3:1", ValueError, "the port is given twice"),
            ("", ValueError, "names no group"),
            (5, TypeError, "not int"),
        ],
    )
    def test_a_group_that_cannot_be_left_changes_nothing(
        self, rx: Receiver, group: Any, error: type[Exception], part: str
    ) -> None:
        before = rx.groups
        with pytest.raises(error) as caught:
            rx.leave(group)
        assert part in str(caught.value)
        assert rx.groups == before

    @pytest.mark.parametrize("timeout", [1e10, 1e300, math.inf, None])
    def test_a_timeout_may_be_longer_than_any_clock(
        self, rx: Receiver, loopback: str, timeout: float | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"here", (loopback, rx.port))
            assert rx.recv(timeout=timeout).data == b"here"
