"""Test errors of the system at opening: their class, errno and message, and that nothing stays open.

Arguments that are rejected before any system call are tested in ``tests/unit/test_sync_args.py``.
"""

import contextlib
import errno
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest

from multicast.sync import Receiver
from tests.support import leaks
from tests.wire.exchange import LOOPBACK


@pytest.mark.udp_sockets
@pytest.mark.parametrize("shared", [(True, False), (False, True), (False, False)])
def test_receiver_port_not_shared_by_both_is_in_use(shared: tuple[bool, bool]) -> None:
    first, second = shared
    with LOOPBACK.receiver(share=first, bind="0.0.0.0") as rx:
        with pytest.raises(
            OSError, match=rf"cannot bind to port {rx.port} .*another program uses this port"
        ) as caught:
            LOOPBACK.receiver(rx.port, share=second, bind="0.0.0.0")
        assert caught.value.errno == errno.EADDRINUSE


def test_receiver_port_held_by_plain_socket_is_in_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind(("", 0))
        with pytest.raises(OSError, match="another program uses this port") as caught:
            Receiver(["239.9.8.7", "239.9.8.8"], plain.getsockname()[1], interface=LOOPBACK.interface)
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.udp_sockets
def test_receiver_bind_address_of_another_machine_is_not_available() -> None:
    with pytest.raises(OSError, match=r"cannot bind to port 0 \(203\.0\.113\.9\): .*no interface") as caught:
        LOOPBACK.receiver(bind="203.0.113.9")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("descriptor", [-1, 2**31, 2**40])
def test_adopt_bad_descriptor_raises_os_error(descriptor: int) -> None:
    with pytest.raises(OSError, match="cannot duplicate a socket") as caught:
        Receiver.adopt(descriptor, "239.9.8.7", 0)
    assert caught.value.errno == errno.EBADF


def closed_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.close()
    return sock


OPENS: dict[str, Callable[[], Any]] = {
    "receiver": LOOPBACK.receiver,
    "receiver of two families": lambda: Receiver([f"239.9.8.7%{LOOPBACK.interface}", "ff15::9:8:7%lo"], 0),
    "receiver of many groups": lambda: Receiver(
        [f"239.9.8.{number}" for number in range(1, 80)], 0, interface=LOOPBACK.interface
    ),
    "sender": lambda: LOOPBACK.sender(5000),
}


@contextlib.contextmanager
def only_descriptors(count: int) -> Generator[None, None, None]:
    """Let this process open ``count`` more descriptors and no further one."""
    resource = pytest.importorskip(
        "resource", reason="needs a limit on descriptors, which Windows does not have"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit applies to the number of a descriptor. The system assigns the lowest free number first.
    free = [number for number in range(soft) if not is_open(number)][count]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.platform("linux")
@pytest.mark.parametrize("opened", OPENS.values(), ids=OPENS.keys())
def test_opening_out_of_descriptors_leaves_nothing_open(opened: Callable[[], Any]) -> None:
    before = leaks.take()
    allowed = 0
    while True:
        try:
            with only_descriptors(allowed):
                whole = opened()
        except OSError as refused:
            assert refused.errno == errno.EMFILE, refused
            assert "too many open files" in str(refused)
            assert leaks.left_since(before) == []
            allowed += 1
        else:
            whole.close()
            break
    # It failed at every step.
    assert allowed >= 2


# The membership sockets of a packet receiver have room for these groups.
@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
def test_join_out_of_descriptors_changes_nothing() -> None:
    with LOOPBACK.receiver() as rx:
        before = rx.groups, rx.stats()
        with pytest.raises(OSError, match="too many open files") as caught, only_descriptors(0):
            rx.join("239.9.8.8", LOOPBACK.interface)
        assert caught.value.errno == errno.EMFILE
        assert (rx.groups, rx.stats()) == before


WITHOUT = """
import sys
from multicast import Receiver, Sender, UnsupportedError

group, kind = sys.argv[1:]
try:
    (Receiver(group, 0, interface="lo") if kind == "receive" else Sender(group, 5000, interface="lo")).close()
except UnsupportedError as refused:
    print(refused.errno, refused.strerror)
"""


@pytest.mark.private_net
@pytest.mark.parametrize("kind", ["receive", "send"])
@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7", "10.0.0.1@232.9.8.7"])
def test_opening_option_missing_in_kernel_raises_unsupported_error(
    tool: Callable[[str], str], group: str, kind: str
) -> None:
    """Let strace make every setsockopt fail as on a kernel without the option."""
    if kind == "send":
        group = group.rpartition("@")[2]
    quiet = ["-f", "-o", os.devnull, "-e", "trace=setsockopt", "-e", "inject=setsockopt:error=ENOPROTOOPT"]
    done = subprocess.run(
        [tool("strace"), *quiet, sys.executable, "-c", WITHOUT, group, kind],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    number, _, text = done.stdout.strip().partition(" ")
    assert int(number) == errno.EOPNOTSUPP, done.stderr
    assert re.fullmatch(r"cannot .*: Protocol not available \(not supported on this system\)", text)


NOWHERE = """
import json, sys
from multicast.sync import Receiver, Sender

def error_of(call):
    try:
        call()
    except OSError as refused:
        return [type(refused).__name__, refused.errno, str(refused)]
    return None

group = sys.argv[1]
with Sender(group, 5000) as tx:
    outcome = {"send": error_of(lambda: tx.send(b"x")), "sent": tx.stats().sent}
outcome["receive"] = error_of(lambda: Receiver(group, 0).close())
print(json.dumps(outcome))
"""


@pytest.mark.private_net
@pytest.mark.parametrize(
    ("group", "number", "why"),
    [
        ("239.9.8.7", errno.ENETUNREACH, r"Network is unreachable \(no route to the group: "),
        ("ff15::9:8:7", errno.EADDRNOTAVAIL, r"Cannot assign requested address \(no address to send from: "),
    ],
)
def test_send_and_join_without_network_raise_error_with_hint(group: str, number: int, why: str) -> None:
    # A new namespace has only a loopback interface, which is down.
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", NOWHERE, group],
        check=True, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    outcome = json.loads(done.stdout)
    kind, code, text = outcome["send"]
    assert (kind, code, outcome["sent"]) == ("OSError", number, 0)
    assert re.match(rf"\[Errno {code}\] cannot send to .*{group}.*:5000: {why}", text)
    kind, code, text = outcome["receive"]
    assert (kind, code) == ("OSError", errno.ENODEV)
    assert re.match(rf"\[Errno {code}\] cannot join {group}: No such device \(no usable interface", text)
