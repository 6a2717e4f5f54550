"""The diagnosis with two ends: a peer sends on request, across a switch or a router, and both ends compare."""

import contextlib
import errno
import json
import socket
import sys
import threading
import time
from collections.abc import Generator, Iterator

import pytest

import multicast
from multicast.apps.diagnosis import (
    Diagnosis,
    Finding,
    diagnose,
    diagnose_at_peer,
    diagnose_with_peer,
    proc,
)
from multicast.apps.diagnosis import serving as serving_module
from multicast.apps.diagnosis.peer import PATIENCE
from multicast.apps.diagnosis.peer import PORT as PEER_PORT
from multicast.apps.diagnosis.serving import Server
from tests.support.background import running
from tests.wire.doctoring import serving
from tests.wire.lab import Lab, feed, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP, PORT = "239.7.8.9", 50_792
FAR = "10.78.0.2"
LISTEN = 0.5

# The far host's groups go from br0 to br1 (linux/mroute.h: struct vifctl, struct mfcctl). The router forwards what has
# a TTL above 1.
ROUTER = """
import socket, struct, sys, threading
MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC, VIFF_USE_IFINDEX = 200, 202, 204, 8
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
    sock.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
    for number, name in enumerate(("br0", "br1")):
        vif = struct.pack("=HBBIi4x", number, VIFF_USE_IFINDEX, 1, 0, socket.if_nametoindex(name))
        sock.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)
    thresholds = bytes([0, 1]) + bytes(30)
    for group in sys.argv[2:]:
        route = struct.pack("=4s4sH32s2x16x", socket.inet_aton(sys.argv[1]), socket.inet_aton(group), 0, thresholds)
        sock.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, route)
    print("routing", flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made, serving(made):
        yield made


@contextlib.contextmanager
def router(net: Lab, *groups: str) -> Generator[None, None, None]:
    """Let the switch be a router between the two hosts, which forwards these groups."""
    net.route()
    with net.switch.popen(sys.executable, "-c", ROUTER, FAR, *groups) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "routing\n"
            yield
        finally:
            process.kill()
            process.communicate()


def compare(net: Lab, endpoint: str) -> Diagnosis:
    with on(net.near):
        return diagnose_with_peer(endpoint, FAR, duration=LISTEN)


def only(found: Diagnosis, cause: str) -> Finding:
    assert [one.cause for one in found.findings] == [cause], found
    return found.findings[0]


def drop_output(net: Lab, host: str) -> None:
    """Let the firewall of a host drop what it sends to the port."""
    net.sh(
        f"on ${host} nft add table inet guard; "
        f"on ${host} nft add chain inet guard out '{{ type filter hook output priority 0; }}'; "
        f"on ${host} nft add rule inet guard out udp dport {PORT} drop"
    )


def test_peer_on_the_same_link_is_heard(net: Lab) -> None:
    finding = only(compare(net, f"{GROUP}:{PORT}%eth0"), "ok")
    assert finding.proof["left_peer_by"] == "eth0"
    assert (finding.proof["seen_leaving"], finding.proof["arrived_by_ttl"]) == (10, {"1": 5, "32": 5})


def test_peer_whose_firewall_drops_is_named_and_mended(net: Lab) -> None:
    drop_output(net, "far")
    finding = only(compare(net, f"{GROUP}:{PORT}%eth0"), "firewall-output")
    assert (finding.confidence, finding.proof["error"], finding.proof["seen_leaving"]) == (
        "proven",
        "EPERM",
        0,
    )
    assert net.far.run("bash", "-ec", finding.fix).returncode == 0
    assert compare(net, f"{GROUP}:{PORT}%eth0").is_fine


def test_peer_without_a_route_is_named_and_mended(net: Lab) -> None:
    net.sh("ip -n $far route del default")
    finding = only(compare(net, f"{GROUP}:{PORT}%eth0"), "no-route")
    assert finding.proof["error"] == "ENETUNREACH"
    net.sh("ip -n $far route add 224.0.0.0/4 dev eth0")
    assert compare(net, f"{GROUP}:{PORT}%eth0").is_fine


def test_peer_beyond_a_router_that_sends_with_ttl_1_is_named_and_mended(net: Lab) -> None:
    here = f"{GROUP}:{PORT}%eth1"
    with router(net, GROUP):
        with feed(net.far, GROUP, PORT, ttl=1):
            finding = only(compare(net, here), "ttl-expired")
        assert finding.confidence == "proven"
        assert finding.text.startswith(f"1 router is between {FAR} and this machine, and ")
        assert (finding.proof["hops"], finding.proof["arrived_by_ttl"]) == (1, {"32": 5})
        streams = finding.proof["streams_leaving_by_ttl"]
        assert isinstance(streams, dict)
        assert streams.keys() == {"1"}  # pyright: ignore[reportUnknownMemberType]
        assert finding.fix.startswith("send with a TTL of at least 2 ")
        with feed(net.far, GROUP, PORT, ttl=2), on(net.near):
            assert diagnose(here, duration=LISTEN).is_fine


def test_group_of_the_link_from_beyond_a_router_is_named_and_mended(net: Lab) -> None:
    with router(net, GROUP):
        finding = only(compare(net, f"224.0.0.77:{PORT}%eth1"), "link-scope")
        assert (finding.confidence, finding.proof["router"]) == ("proven", "10.78.1.254")
        assert finding.fix.startswith("use a group that routers forward")
        with feed(net.far, GROUP, PORT, ttl=2), on(net.near):
            assert diagnose(f"{GROUP}:{PORT}%eth1", duration=LISTEN).is_fine


def test_peer_beyond_a_router_that_forwards_nothing_is_no_missing_sender(
    net: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "CONTAINER_MARKERS", ())
    with router(net):
        finding = only(compare(net, f"{GROUP}:{PORT}%eth1"), "no-querier")
    assert (finding.confidence, finding.proof["seen_leaving"], finding.proof["arrived_by_ttl"]) == (
        "possible",
        10,
        {},
    )


def test_wrong_interface_is_found_with_a_peer_too(net: Lab) -> None:
    finding = only(compare(net, f"{GROUP}:{PORT}%eth1"), "wrong-interface")
    assert finding.proof["arrived_on"]


def at_peer(net: Lab, endpoint: str) -> Diagnosis:
    with on(net.near):
        return diagnose_at_peer(endpoint, FAR, duration=LISTEN)


def test_peer_that_listens_hears_this_host(net: Lab) -> None:
    finding = only(at_peer(net, f"{GROUP}:{PORT}%eth0"), "ok")
    assert finding.text.startswith(f"seen from {FAR}: what 10.78.0.1 sends from eth0 arrives on eth0: ")
    assert (finding.proof["seen_from"], finding.proof["left_peer_by"], finding.proof["joined_on"]) == (
        FAR,
        "eth0",
        "eth0",
    )


def test_peer_that_has_joined_on_another_interface_is_named_and_mended(net: Lab) -> None:
    finding = only(at_peer(net, f"{GROUP}:{PORT}%eth1"), "wrong-interface")
    assert finding.proof["arrived_on"]
    net.sh(f"ip -n $far route add {GROUP} dev eth1")
    assert at_peer(net, f"{GROUP}:{PORT}%eth1").is_fine


def test_firewall_of_this_host_is_seen_by_the_peer_that_listens(net: Lab) -> None:
    drop_output(net, "near")
    finding = only(at_peer(net, f"{GROUP}:{PORT}%eth0"), "firewall-output")
    assert net.near.run("bash", "-ec", finding.fix).returncode == 0
    assert at_peer(net, f"{GROUP}:{PORT}%eth0").is_fine


def test_peer_that_cannot_listen_says_why(net: Lab) -> None:
    net.sh("ip -n $far link set eth0 down; ip -n $far link set eth0 up; ip -n $far route del default || true")
    finding = at_peer(net, f"{GROUP}:{PORT}%eth0").findings[0]
    assert finding.cause == "no-route"
    assert finding.text.startswith(f"seen from {FAR}: ")


def test_peer_that_does_not_serve_is_an_error(net: Lab) -> None:
    with on(net.near), pytest.raises(ConnectionRefusedError, match="run 'multicast doctor --serve' there"):
        diagnose_with_peer(f"{GROUP}:{PORT}%eth0", "10.78.0.1", duration=0.1)


LISTENING = b'{"group": "239.1.2.3", "port": 5000, "seconds": 0.1, "listen": true}'
REQUESTS = {
    "nested": b"[" * 60_000,
    "list": b"[1]",
    "infinite port": b'{"group": "239.1.2.3", "port": Infinity, "seconds": 1}',
    "long number": b'{"group": "239.1.2.3", "port": 5000, "token": "x", "seconds": 1' + b"0" * 400 + b"}",
    "no number": b'{"group": "239.1.2.3", "port": 5000, "token": "x", "seconds": NaN}',
    "no token": b'{"group": "239.1.2.3", "port": 5000, "seconds": 0}',
    "departure": LISTENING
    + b'\n{"interface": 1, "error": 2, "left": "", "streams": 3, "rules": 4, "fix": 5}',
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_server_goes_on_after_a_damaged_request(request_: bytes, loopback: str) -> None:
    served: list[str] = []

    def serve(over: threading.Event) -> None:
        served.extend(result for _, result in server.served(over.is_set))

    with multicast.Receiver("239.1.2.3", 5000, interface=loopback), Server() as server, running(serve):
        for data in (request_, b"[2]"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
                connection.sendall(data + b"\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
    assert len(served) == 2
    assert all(result.startswith("request refused: ") for result in served)


def test_server_names_the_field_that_a_request_lacks() -> None:
    served: list[str] = []

    def serve(over: threading.Event) -> None:
        served.extend(result for _, result in server.served(over.is_set))

    with (
        Server() as server,
        running(serve),
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection,
    ):
        connection.sendall(b'{"port": 5000}\n')
        assert connection.recv(4096) == b""
    assert served == ["request refused: 'group' is missing"]


FINDING: dict[str, object] = {
    "cause": "ok",
    "confidence": "proven",
    "proof": {},
    "fix": "",
    "text": "all is well",
}
DAMAGED: dict[str, object] = {
    "no list": 1,
    "no object": [1],
    "no field": [{"cause": "ok"}],
    "other field": [{**FINDING, "more": 1}],
    "wrong type": [{**FINDING, "proof": "none"}],
}


@pytest.mark.parametrize("findings", DAMAGED.values(), ids=DAMAGED)
def test_peer_that_answers_damaged_findings_is_an_error(findings: object) -> None:
    answer = {"findings": findings, "received": 0, "can_see_packets": True}

    def reply(_: threading.Event) -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.readline()
            stream.write(json.dumps(answer).encode() + b"\n")

    with (
        socket.create_server(("127.0.0.1", PEER_PORT)) as listening,
        running(reply),
        pytest.raises(OSError, match=r"cannot ask the peer 127\.0\.0\.1: ") as caught,
    ):
        diagnose_at_peer("239.1.2.3:5000%lo", "127.0.0.1", duration=0.1)
    assert caught.value.errno == errno.EPROTO


def test_server_ends_a_request_that_trickles_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "PATIENCE", 0.3)
    served: list[str] = []
    pause = threading.Event()

    def serve(over: threading.Event) -> None:
        served.extend(result for _, result in server.served(over.is_set))

    with Server() as server, running(serve):
        begun = time.monotonic()
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address) as connection, contextlib.suppress(OSError):
            # Each single byte is early enough.
            while time.monotonic() < begun + PATIENCE:
                connection.sendall(b" ")
                pause.wait(0.05)
        assert time.monotonic() < begun + 2
    assert len(served) == 1
    assert served[0].startswith("request refused: ")
