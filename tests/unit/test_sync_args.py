"""Test the arguments that ``Sender`` and ``Receiver`` reject before any system call.

Errors from the operating system are tested in ``tests/wire/test_open_errors.py``.
"""

import contextlib
import errno
import ipaddress
import math
import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from multicast.endpoints import Endpoint
from multicast.sync import Receiver, Sender

GROUP = "239.1.2.3"


@contextlib.contextmanager
def no_descriptors_left() -> Generator[None, None, None]:
    """Allow no new descriptor: code that opens a socket before it checks its arguments gets EMFILE."""
    resource = pytest.importorskip(
        "resource", reason="needs a limit on descriptors, which Windows does not have"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


Arguments = tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]

REFUSED_BY_BOTH: list[Arguments] = [
    (
        ("10.0.0.1", 5000),
        {},
        ValueError,
        "group must be a multicast address (224.0.0.0 to 239.255.255.255), got 10.0.0.1",
    ),
    (
        ("240.0.0.1", 5000),
        {},
        ValueError,
        "group must be a multicast address (224.0.0.0 to 239.255.255.255), got 240.0.0.1",
    ),
    (("fd00::1", 5000), {}, ValueError, "group must be a multicast address (ff00::/8), got fd00::1"),
    (("group", 5000), {}, ValueError, 'group must be an IPv4 or IPv6 address, got "group"'),
    (("239.1.2", 5000), {}, ValueError, 'group must be an IPv4 or IPv6 address, got "239.1.2"'),
    (("", 5000), {}, ValueError, "'' names no group"),
    ((GROUP,), {}, ValueError, "no port is given"),
    ((GROUP, -1), {}, ValueError, "port must be an integer from 0 to 65535, got -1"),
    ((GROUP, 65536), {}, ValueError, "from 0 to 65535, got 65536"),
    ((GROUP, "5000"), {}, TypeError, "port must be an integer from 0 to 65535, got str"),
    ((GROUP, 5000.0), {}, TypeError, "from 0 to 65535, got float"),
    ((GROUP, True), {}, TypeError, "from 0 to 65535, got bool"),
    ((f"{GROUP}:5000", 5001), {}, ValueError, "the port is given twice, as 5001 and as 5000"),
    ((f"{GROUP}:99999",), {}, ValueError, "must be a number from 0 to 65535, got '99999'"),
    ((GROUP, 5000), {"interface": 0}, ValueError, "interface must be an index from 1 to 2147483647, got 0"),
    ((GROUP, 5000), {"interface": -1}, ValueError, "must be an index from 1 to 2147483647, got -1"),
    (
        (GROUP, 5000),
        {"interface": 2**32},
        ValueError,
        "must be an index from 1 to 2147483647, got 4294967296",
    ),
    (
        (GROUP, 5000),
        {"interface": "99999999999"},
        ValueError,
        "must be an index from 1 to 2147483647, got 99999999999",
    ),
    ((GROUP, 5000), {"interface": True}, TypeError, "got bool"),
    ((GROUP, 5000), {"interface": 1.0}, TypeError, "got float"),
    ((GROUP, 5000), {"interface": b"lo"}, TypeError, "got bytes"),
    (
        (GROUP, 5000),
        {"interface": ""},
        ValueError,
        'must be the name, index or address of an interface, got ""',
    ),
    (
        (GROUP, 5000),
        {"interface": "a b"},
        ValueError,
        'must be the name, index or address of an interface, got "a b"',
    ),
    (
        (GROUP, 5000),
        {"interface": "a/b"},
        ValueError,
        'must be the name, index or address of an interface, got "a/b"',
    ),
    (
        (GROUP, 5000),
        {"interface": GROUP},
        ValueError,
        f"must be the address of an interface, got the group {GROUP}",
    ),
    (
        ("ff02::1", 5000),
        {},
        ValueError,
        "interface must be given for the link-local group ff02::1, as in ff02::1%eth0",
    ),
    (
        ("ff01::1", 5000),
        {},
        ValueError,
        "interface must be given for the link-local group ff01::1, as in ff01::1%eth0",
    ),
    ((GROUP, 5000), {"loopback": 1}, TypeError, "loopback must be True or False, got int"),
    ((GROUP, 5000), {"colour": "red"}, TypeError, "() has no argument 'colour'"),
    ((GROUP, 5000), {"iface": "lo"}, TypeError, "() has no argument 'iface'; did you mean 'interface'?"),
    ((GROUP, 5000), {"Interface": "lo"}, TypeError, "did you mean 'interface'?"),
    ((GROUP, 5000), {"loopbak": True}, TypeError, "did you mean 'loopback'?"),
    ((Endpoint(GROUP, 70000),), {}, ValueError, "got 70000"),
    (((GROUP, 70000),), {}, ValueError, "got 70000"),
    (((GROUP, True),), {}, TypeError, "port must be an integer from 0 to 65535, got bool"),
    ((GROUP, 2**70), {}, ValueError, "from 0 to 65535, got 1180591620717411303424"),
    ((GROUP, 5000), {"interface": 2**70}, ValueError, "from 1 to 2147483647, got 1180591620717411303424"),
    (
        (ipaddress.ip_address("10.0.0.1"), 5000),
        {},
        ValueError,
        "group must be a multicast address (224.0.0.0 to 239.255.255.255), got 10.0.0.1",
    ),
    ((f"{GROUP}%eth0:5000",), {}, ValueError, "as in '239.1.2.3:5000%eth0'"),
]

REFUSED_BY_RECEIVER: list[Arguments] = [
    ((), {}, TypeError, "group"),
    (([], 5000), {}, ValueError, "group must name at least one group unless bind is given, got none"),
    ((None, 5000), {}, TypeError, "group must be an endpoint or several of them, got NoneType"),
    ((b"239.1.2.3", 5000), {}, TypeError, "group must be an endpoint or several of them, got bytes"),
    (([None], 5000), {}, TypeError, "got NoneType"),
    (("ff15::1:5000",), {}, ValueError, "as in '[ff15::1]:5000'"),
    ((["239.1.2.3", "ff15::1:5000"],), {}, ValueError, "as in '[ff15::1]:5000'"),
    ((GROUP, 5000), {"interface": ["lo", "all"]}, ValueError, 'a single interface here, got "all"'),
    (("ff35::1", 5000), {"source": "::ffff:10.0.0.1"}, ValueError, "must be of the same IP version as"),
    (([f"{GROUP}:5000", "239.1.2.4:5001"],), {}, ValueError, "as 5000 and as 5001"),
    ((GROUP, 5000), {"source": 5}, TypeError, "source must be an address or several of them, got int"),
    ((GROUP, 5000), {"exclude": 5}, TypeError, "exclude must be an address or several of them, got int"),
    (
        (GROUP, 5000),
        {"source": [5]},
        TypeError,
        "source must be an address (str or ipaddress object), got int",
    ),
    ((GROUP, 5000), {"source": "host"}, ValueError, 'source must be an IPv4 or IPv6 address, got "host"'),
    (
        (GROUP, 5000),
        {"source": "fd00::1"},
        ValueError,
        f"source must be of the same IP version as group {GROUP}, got fd00::1",
    ),
    ((GROUP, 5000), {"exclude": "fd00::1"}, ValueError, "must be of the same IP version as"),
    ((GROUP, 5000), {"source": "239.1.1.1"}, ValueError, "source must be a unicast address, got 239.1.1.1"),
    ((GROUP, 5000), {"source": "0.0.0.0"}, ValueError, "source must be a unicast address, got 0.0.0.0"),
    ((GROUP, 5000), {"source": "255.255.255.255"}, ValueError, "source must be a unicast address, got "),
    ((GROUP, 5000), {"source": "10.0.0.1", "exclude": "10.0.0.2"}, ValueError, "not both"),
    (
        ("232.1.2.3", 5000),
        {},
        ValueError,
        "source must be given for the source-specific group 232.1.2.3 (RFC 4607), as in 10.0.0.1@232.1.2.3",
    ),
    (("232.1.2.3", 5000), {"exclude": "10.0.0.1"}, ValueError, "(RFC 4607)"),
    (("ff35::1", 5000), {}, ValueError, "(RFC 4607)"),
    ((GROUP, 5000), {"bind": "here"}, ValueError, "bind must be an IPv4 or IPv6 address, got 'here'"),
    ((GROUP, 5000), {"bind": 5}, TypeError, "bind must be an address (str or ipaddress object), got int"),
    ((GROUP, 5000), {"recv_buffer": 0}, ValueError, "buffer must be an integer from 1 to 2147483647, got 0"),
    (
        (GROUP, 5000),
        {"recv_buffer": -1},
        ValueError,
        "buffer must be an integer from 1 to 2147483647, got -1",
    ),
    ((GROUP, 5000), {"recv_buffer": 2**31}, ValueError, "from 1 to 2147483647, got 2147483648"),
    ((GROUP, 5000), {"recv_buffer": "large"}, ValueError, "a number of bytes, 'auto' or None, got 'large'"),
    (
        (GROUP, 5000),
        {"recv_buffer": 1.5},
        TypeError,
        "recv_buffer must be an integer from 1 to 2147483647, got float",
    ),
    ((GROUP, 5000), {"recv_buffer": True}, TypeError, "from 1 to 2147483647, got bool"),
    ((GROUP, 5000), {"share": "yes"}, TypeError, "share must be True or False, got str"),
    ((GROUP, 5000), {"strict": None}, TypeError, "strict must be True or False, got NoneType"),
    ((GROUP, 5000), {"gro": 1}, TypeError, "gro must be True or False, got int"),
    ((GROUP, 5000), {"ttl": True}, TypeError, "did you mean 'receive_ttl'?"),
    ((GROUP, 5000), {"fd": 3}, TypeError, "use Receiver.adopt(sock, ...)"),
    ((GROUP, 5000), {"timestamps": 0}, TypeError, "timestamps must be True or False, got int"),
    ((GROUP, 5000), {"receive_ttl": 1}, TypeError, "receive_ttl must be True or False, got int"),
    ((GROUP, 5000), {"rejoin": "1"}, TypeError, "rejoin must be a number or None, got str"),
    (
        (GROUP, 5000),
        {"rejoin": -1},
        ValueError,
        "rejoin must be a number of seconds above 0, or None, got -1",
    ),
    ((GROUP, 5000), {"rejoin": 10**400}, ValueError, "rejoin must be a number that fits a float"),
    ((GROUP, 5000), {"ring": 0}, ValueError, "ring must be an integer from 1 to 16777216, got 0"),
    ((GROUP, 5000), {"ring": 2**70}, ValueError, "from 1 to 16777216"),
    ((GROUP, 5000), {"ring": "large"}, TypeError, "ring must be an integer from 1 to 16777216, got str"),
    ((GROUP, 5000), {"ring_policy": "drop"}, ValueError, "'drop-newest' or 'block', got 'drop'"),
    ((GROUP, 5000), {"ring_policy": 5}, ValueError, "'drop-newest' or 'block', got 5"),
]

REFUSED_BY_SENDER: list[Arguments] = [
    ((), {}, TypeError, "group"),
    (([GROUP], 5000), {}, TypeError, "got list"),
    (("239.1.2.0/30", 5000), {}, ValueError, "stands for several groups; a sender sends to one"),
    ((f"{GROUP}+2", 5000), {}, ValueError, "stands for several groups; a sender sends to one"),
    (("ff15::1:5000",), {}, ValueError, "as in '[ff15::1]:5000'"),
    ((GROUP, 5000), {"interface": "all"}, ValueError, "must be one interface to send by, got 'all'"),
    ((GROUP, 0), {}, ValueError, "port must be an integer from 1 to 65535, got 0"),
    ((f"10.0.0.1@{GROUP}", 5000), {}, ValueError, "names a source; the source of a sender is this machine"),
    ((GROUP, 5000), {"ttl": 256}, ValueError, "ttl must be an integer from 0 to 255, got 256"),
    ((GROUP, 5000), {"ttl": -1}, ValueError, "from 0 to 255, got -1"),
    ((GROUP, 5000), {"ttl": "1"}, TypeError, "from 0 to 255, got str"),
    ((GROUP, 5000), {"ttl": True}, TypeError, "from 0 to 255, got bool"),
    ((GROUP, 5000), {"ttl": None}, TypeError, "from 0 to 255, got NoneType"),
    ((GROUP, 5000), {"send_buffer": 0}, ValueError, "buffer must be an integer from 1 to 2147483647, got 0"),
    (
        (GROUP, 5000),
        {"send_buffer": "auto"},
        TypeError,
        "send_buffer must be an integer from 1 to 2147483647, got str",
    ),
    ((GROUP, 5000), {"gso": 1}, TypeError, "gso must be True or False, got int"),
    ((GROUP, 5000), {"hops": 2}, TypeError, "did you mean 'ttl'?"),
    ((GROUP, 5000), {"rate": "1"}, TypeError, "rate must be a number or None, got str"),
    ((GROUP, 5000), {"rate": 1, "bit_rate": 1}, ValueError, "rate and bit_rate must not both be given"),
]

CASES: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    *((Receiver, *case) for case in REFUSED_BY_BOTH + REFUSED_BY_RECEIVER),
    *((Sender, *case) for case in REFUSED_BY_BOTH + REFUSED_BY_SENDER),
    (
        Receiver.adopt,
        ("x", GROUP, 5000),
        {},
        TypeError,
        "sock must be a socket or its descriptor (int), got str",
    ),
    (
        Receiver.adopt,
        (True, GROUP, 5000),
        {},
        TypeError,
        "sock must be a socket or its descriptor (int), got bool",
    ),
    (Receiver.adopt, (2**70, GROUP, 5000), {}, ValueError, "sock must be an integer from -1 to"),
    (Receiver.adopt, (3, GROUP, 5000), {"gro": True}, TypeError, "adopt() has no argument 'gro'"),
]


def format_call(call: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    parts = [repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{call.__name__}({', '.join(parts)})"


@pytest.mark.parametrize(
    ("call", "args", "kwargs", "error", "part"), CASES, ids=[format_call(*case[:3]) for case in CASES]
)
def test_constructor_bad_argument_raises_before_any_system_call(
    call: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    error: type[Exception],
    part: str,
) -> None:
    with pytest.raises(error) as caught, no_descriptors_left():
        call(*args, **kwargs)
    # The exact class: a subclass could mean something else.
    assert type(caught.value) is error
    assert part in str(caught.value)


def test_constructor_good_argument_reaches_the_system(loopback: str) -> None:
    with pytest.raises(OSError, match="too many open files") as caught, no_descriptors_left():
        Sender(GROUP, 5000)
    assert caught.value.errno == errno.EMFILE


class TestOpen:
    """Test calls on an open object. Nothing is sent."""

    @pytest.fixture
    def rx(self, loopback: str) -> Iterator[Receiver]:
        # Bound to the host and not strict, so that a plain unicast datagram reaches it.
        with Receiver(GROUP, 0, interface=loopback, bind=loopback, strict=False) as rx:
            yield rx

    @pytest.fixture
    def tx(self, loopback: str) -> Iterator[Sender]:
        with Sender(GROUP, 5000, interface=loopback) as tx:
            yield tx
        assert tx.stats().sent == 0, "a datagram was sent before the arguments were checked"

    @pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan])
    def test_timeout_negative_or_nan_raises_value_error(
        self, rx: Receiver, tx: Sender, timeout: float
    ) -> None:
        refused = "timeout must be a number of seconds from 0, got"
        with pytest.raises(ValueError, match=refused):
            rx.recv(timeout=timeout)
        with pytest.raises(ValueError, match=refused):
            rx.recv_batch(timeout=timeout)
        with pytest.raises(ValueError, match=refused):
            tx.send(b"", timeout=timeout)
        with pytest.raises(ValueError, match=refused):
            tx.send_many([b""], timeout=timeout)

    @pytest.mark.parametrize("timeout", ["1", [1], b"1"])
    def test_timeout_non_number_raises_type_error(self, rx: Receiver, timeout: Any) -> None:
        with pytest.raises(TypeError):
            rx.recv(timeout=timeout)

    @pytest.mark.parametrize("most", [0, -1])
    def test_recv_batch_limit_below_one_raises_value_error(self, rx: Receiver, most: int) -> None:
        with pytest.raises(ValueError, match=rf"limit must be at least 1, got {most}"):
            rx.recv_batch(limit=most, timeout=0)

    @pytest.mark.parametrize("most", [None, "1", 1.5])
    def test_recv_batch_limit_non_integer_raises_type_error(self, rx: Receiver, most: Any) -> None:
        with pytest.raises(TypeError):
            rx.recv_batch(limit=most, timeout=0)

    @pytest.mark.parametrize("message", ["text", None, 5, [1, 2], ("a",)])
    def test_send_non_buffer_raises_type_error(self, tx: Sender, message: Any) -> None:
        name = type(message).__name__
        with pytest.raises(TypeError, match=f"data must be bytes or another buffer, got {name}"):
            tx.send(message)
        with pytest.raises(TypeError, match=f"data must be bytes or another buffer, got {name}"):
            tx.send_many([message, b"good"])

    @pytest.mark.parametrize("messages", [b"bytes", "text", None, 5])
    def test_send_many_non_iterable_of_buffers_raises_type_error(self, tx: Sender, messages: Any) -> None:
        with pytest.raises(TypeError):
            tx.send_many(messages)

    def test_send_message_beyond_udp_limit_raises_value_error(self, tx: Sender) -> None:
        with pytest.raises(
            ValueError, match=r"data must be at most 65507 bytes to 239\.1\.2\.3:5000.*, got 65508 bytes"
        ):
            tx.send(bytes(65_508))
        with pytest.raises(ValueError, match="at most 65507 bytes"):
            tx.send_many([bytes(65_508), b"good"])

    @pytest.mark.parametrize(
        ("groups", "shown"),
        [
            ([], "239.1.2.3"),
            (["239.2.0.0+3"], "239.1.2.3, 239.2.0.0, 239.2.0.1, 239.2.0.2"),
            (["239.2.0.0+2000"], "239.1.2.3, 239.2.0.0, 239.2.0.1, 1998 more"),
        ],
    )
    def test_receiver_repr_many_groups_shows_the_first_few(
        self, rx: Receiver, loopback: str, groups: list[str], shown: str
    ) -> None:
        rx.join(groups, loopback)
        assert repr(rx) == f"<Receiver on port {rx.port}: {shown}>"

    def test_send_many_error_in_iterable_is_raised(self, tx: Sender) -> None:
        # Messages before the error are sent first: see tests/wire/test_send_many.py.
        def messages() -> Iterator[bytes]:
            raise LookupError("no more")
            yield b"never"

        with pytest.raises(LookupError, match="no more"):
            tx.send_many(messages())

    @pytest.mark.parametrize(
        ("group", "options", "error", "part"),
        [
            (GROUP, {}, ValueError, "cannot join 239.1.2.3 on "),
            ("10.0.0.1", {}, ValueError, "group must be a multicast address"),
            ("239.1.2.4:1", {}, ValueError, "the port is given twice"),
            (
                "239.1.2.4",
                {"interface": 0},
                ValueError,
                "interface must be an index from 1 to 2147483647, got 0",
            ),
            ("239.1.2.4", {"source": "10.0.0.1", "exclude": "10.0.0.2"}, ValueError, "not both"),
            ("232.1.2.4", {}, ValueError, "source-specific"),
            (
                "ff02::114",
                {},
                ValueError,
                "must be given for the link-local group ff02::114, as in ff02::114%eth0",
            ),
            (["239.1.2.4", 5], {}, TypeError, "got int"),
            (
                ["239.1.2.4", "10.0.0.1"],
                {},
                ValueError,
                "group must be a multicast address (224.0.0.0 to 239.255.255.255), got 10.0.0.1",
            ),
            (None, {}, TypeError, "got NoneType"),
        ],
    )
    def test_join_rejected_group_changes_nothing(
        self,
        rx: Receiver,
        loopback: str,
        group: Any,
        options: dict[str, Any],
        error: type[Exception],
        part: str,
    ) -> None:
        before = rx.groups, rx.stats()
        arguments: dict[str, Any] = {"interface": loopback if group == GROUP else None, **options}
        with pytest.raises(error) as caught:
            rx.join(group, **arguments)
        assert part in str(caught.value)
        assert (rx.groups, rx.stats()) == before

    @pytest.mark.parametrize(
        ("group", "error", "part"),
        [
            ("239.1.2.4", ValueError, "cannot leave 239.1.2.4: not joined"),
            ("10.0.0.1", ValueError, "group must be a multicast address"),
            ("239.1.2.3:1", ValueError, "the port is given twice"),
            ("", ValueError, "names no group"),
            (5, TypeError, "got int"),
        ],
    )
    def test_leave_rejected_group_changes_nothing(
        self, rx: Receiver, group: Any, error: type[Exception], part: str
    ) -> None:
        before = rx.groups
        with pytest.raises(error) as caught:
            rx.leave(group)
        assert part in str(caught.value)
        assert rx.groups == before

    @pytest.mark.parametrize("timeout", [1e10, 1e300, math.inf, None])
    def test_recv_huge_timeout_is_accepted(self, rx: Receiver, loopback: str, timeout: float | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"here", (loopback, rx.port))
            assert rx.recv(timeout=timeout).data == b"here"
