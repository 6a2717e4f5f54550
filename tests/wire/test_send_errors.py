"""Test errors of sending and of joining by the routes: they name the cause and what helps."""

import errno
import json
import subprocess
import sys

import pytest

from multicast.sync import Receiver, Sender
from tests.wire.exchange import PATIENCE
from tests.wire.faults import sh

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

REFUSED = """
import json, sys
from multicast.sync import Receiver, Sender

def error_of(call):
    try:
        call()
    except OSError as refused:
        return [refused.errno, str(refused)]
    return None

group = sys.argv[1]
with Sender(group, 5000) as tx, Sender(group, 5000, interface="eth0") as named:
    outcome = {"send": error_of(lambda: tx.send(b"x")), "named": error_of(lambda: named.send(b"x"))}
outcome["receive"] = error_of(lambda: Receiver(group, 0).close())
outcome["named receive"] = error_of(lambda: Receiver(group, 0, interface="eth0").close())
print(json.dumps(outcome))
"""


@pytest.mark.parametrize("kind", ["unreachable", "prohibit", "blackhole"])
@pytest.mark.parametrize(
    ("group", "ip", "prefix"), [("239.9.8.7", "ip", "224.0.0.0/4"), ("ff15::9:8:7", "ip -6", "ff00::/8")]
)
def test_route_that_refuses_the_group_is_named(group: str, ip: str, prefix: str, kind: str) -> None:
    setup = f"""
        ip link set lo up
        ip link add eth0 type veth peer name far0
        ip addr add 10.7.0.1/24 dev eth0; ip -6 addr add fd07::1/64 dev eth0 nodad
        ip link set eth0 up; ip link set far0 up
        # The kernel adds these routes once the links are ready, which can be later.
        until [ $(ip -6 route show table local type multicast | grep -Ec 'eth0|far0') = 2 ]; do :; done
        ip -6 route flush root ff00::/8 table all
        {ip} route add {kind} {prefix}
        exec "$@"
    """
    done = subprocess.run(
        ["unshare", "--net", "bash", "-ec", setup, "sh", sys.executable, "-c", REFUSED, group],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    expected = f"(a route of type '{kind}' refuses the group: name an interface, or delete that route"
    for side in ("send", "receive"):
        assert outcome[side] is not None
        assert expected in outcome[side][1]
        assert f"'{ip} route show type {kind}'" in outcome[side][1]
    assert outcome["named receive"] is None
    if ":" not in group:
        assert outcome["named"] is None


def test_send_ipv6_on_ordinary_loopback_names_the_route() -> None:
    sh("ip -6 route del ff00::/8 dev lo table local metric 1; ip link set lo multicast off")
    try:
        with Sender("ff02::9:8:7", 5000, interface="lo") as tx:
            with pytest.raises(
                OSError, match="add one with 'ip -6 route add local ff00::/8 dev lo"
            ) as refused:
                tx.send(b"x")
            assert refused.value.errno == errno.ENETUNREACH
            sh("ip -6 route add local ff00::/8 dev lo table local")
            with Receiver("ff02::9:8:7", 5000, interface="lo") as rx:
                tx.send(b"x")
                assert rx.recv(timeout=PATIENCE).data == b"x"
    finally:
        sh("""ip -6 route del ff00::/8 dev lo table local 2>/dev/null || true
            ip link set lo multicast on; ip -6 route add local ff00::/8 dev lo table local metric 1""")


@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_send_datagram_beyond_the_send_buffer_says_so(group: str) -> None:
    with Sender(group, 5000, interface="veth0", send_buffer=1) as tx:
        with pytest.raises(OSError, match="the send buffer is too small for the datagram") as refused:
            tx.send(bytes(60_000))
        assert refused.value.errno == errno.ENOBUFS
        tx.send(b"short")
    with (
        Receiver(group, 0, interface="veth0") as rx,
        Sender(group, rx.port, interface="veth0", send_buffer=65_536) as tx,
    ):
        # The fragments of several such datagrams do not fit: the sender waits for the queue, and fails at none.
        for _ in range(20):
            tx.send(bytes(60_000))
            assert len(rx.recv(timeout=PATIENCE)) == 60_000
