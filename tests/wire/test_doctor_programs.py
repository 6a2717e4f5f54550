"""Faults of other programs on the port: buffers that are too small, slow readers, a port that is not shared."""

import contextlib
import subprocess
import sys
from collections.abc import Generator, Iterator

import pytest

from multicast.apps.diagnosis import proc
from tests.support import waiting
from tests.wire.doctoring import GROUP, HERE, PORT, agrees, examine, follow, only, positive, sending
from tests.wire.lab import Lab, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


READER = """
import socket, sys, time
group, port, pause, most, buffer = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *map(int, sys.argv[4:])
SO_RCVBUFFORCE = 33  # as SO_RCVBUF, without the limit that ordinary programs have
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, port))
    index = socket.if_nametoindex("eth0").to_bytes(4, sys.byteorder)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + bytes(4) + index)
    sock.setblocking(False)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
    print("joined", flush=True)
    while True:
        time.sleep(pause)
        try:
            for _ in range(most):
                sock.recv(65536)
        except BlockingIOError:
            pass
"""
RING_READER = """
import sys, time, multicast
with multicast.Receiver(sys.argv[1], int(sys.argv[2]), interface="eth0", ring=65536) as rx:
    print("joined", flush=True)
    for _ in rx:
        time.sleep(float(sys.argv[3]))
"""


@contextlib.contextmanager
def program(net: Lab, code: str, *words: str) -> "Generator[subprocess.Popen[str], None, None]":
    """Run a program on the near host until the end of the block, from when it has joined."""
    process = net.near.popen(sys.executable, "-c", code, *words)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_doctor_small_receive_buffer_is_named_and_mended(net: Lab) -> None:
    reader = (READER, GROUP, str(PORT), "0.05", "100000")
    advice = "sysctl -w net.core.rmem_max=8388608, and let the program request a receive buffer of that size"
    with sending(net, {"burst": 600, "period": 0.1, "size": 1000}):
        with program(net, *reader, "0") as slow:
            finding = only(examine(net, HERE, 1.0), "buffer-overflow")
        assert finding.confidence == "proven"
        assert agrees(finding.proof, {"program": {"pid": slow.pid}})
        assert agrees(
            finding.proof, {"dropped": positive, "least_bytes_waiting": 0, "Udp.RcvbufErrors": positive}
        )
        assert finding.fix.startswith(advice)
        with program(net, *reader, str(8 << 20)):
            assert examine(net, HERE, 1.0).is_fine


def test_doctor_slow_program_is_named_and_mended(net: Lab) -> None:
    with sending(net, {"burst": 50, "period": 0.01}):
        with program(net, READER, GROUP, str(PORT), "0.05", "1", "0"):
            with on(net.near):
                waiting.until(
                    lambda: any(one.waiting > 100_000 for one in proc.udp_sockets(PORT)), "a full buffer"
                )
            finding = only(examine(net, HERE), "program-too-slow")
        assert finding.confidence == "proven"
        assert agrees(finding.proof, {"dropped": positive, "least_bytes_waiting": positive})
        with program(net, RING_READER, GROUP, str(PORT), "0.05"):
            assert examine(net, HERE).is_fine


def test_doctor_port_that_is_not_shared_is_named_and_mended(net: Lab) -> None:
    selfish = f"""
import socket, threading
with (
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other,
):
    sock.bind(("", {PORT}))
    other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    other.bind(("::", {PORT}))
    print("joined", flush=True)
    threading.Event().wait()
"""
    with sending(net, {}), program(net, selfish) as process:
        finding = only(examine(net, HERE), "port-not-shared")
        assert finding.confidence == "proven"
        assert finding.text.count(f"(process {process.pid})") == 1
        assert [one["pid"] for one in finding.proof["programs"]] == [process.pid]  # type: ignore[attr-defined]
        follow(net, finding.fix, HERE)
        process.wait(10)
        assert examine(net, HERE).is_fine
