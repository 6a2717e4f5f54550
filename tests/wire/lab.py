"""A small network that exists only during a test, so that a fault can be made in it and left in it (Linux).

``near`` and ``far`` are hosts with the interfaces eth0 and eth1, each connected to a bridge of its own on ``switch``::

    near eth0 10.78.0.1 fd78::1   --- br0 ---   far eth0 10.78.0.2 fd78::2
    near eth1 10.78.1.1 fd78:1::1 --- br1 ---   far eth1 10.78.1.2 fd78:1::2
"""

import errno
import itertools
import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from multicast.sync import Sender
from tests.support.background import running
from tests.support.hosts import Machine
from tests.wire.places import on

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class LabHost(Machine):
    """A machine of the lab."""

    label: str

    @property
    def name(self) -> str:
        return self.label


@dataclass(frozen=True)
class Lab:
    """The machines of the lab."""

    near: LabHost
    far: LabHost
    switch: LabHost

    def route(self) -> None:
        """Put the hosts on different networks, with the switch between them as a router of unicast."""
        self.sh(_ROUTE)

    def sh(self, commands: str) -> None:
        """Run shell commands that know ``$near``, ``$far`` and ``$switch``, and ``on $near COMMAND``."""
        prelude = 'on() { local host=$1; shift; ip netns exec "$host" "$@"; }\n'
        names = {"near": self.near.name, "far": self.far.name, "switch": self.switch.name}
        subprocess.run(["bash", "-ec", prelude + commands], check=True, env={**os.environ, **names})


@contextmanager
def lab() -> Generator[Lab, None, None]:
    """Make the network for the block."""
    suffix = f"{os.getpid()}-{next(_NUMBERS)}"
    made = Lab(*(LabHost(f"{label}-{suffix}") for label in ("near", "far", "switch")))
    try:
        made.sh(_MAKE)
        yield made
    finally:
        made.sh('for host in $near $far $switch; do ip netns del "$host" || true; done')


_MAKE = """
for host in $near $far $switch; do
  ip netns add $host
  on $host bash -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
  ip -n $host link set lo up
done
for n in 0 1; do
  ip -n $switch link add br$n type bridge mcast_snooping 0
  ip -n $switch link set br$n up
  k=1
  for host in $near $far; do
    ip -n $switch link add p$n$k type veth peer name eth$n netns $host
    ip -n $switch link set p$n$k master br$n up
    ip -n $host addr add 10.78.$n.$k/24 dev eth$n
    ip -n $host -6 addr add fd78:$n::$k/64 dev eth$n nodad
    ip -n $host link set eth$n up
    k=2
  done
done
for host in $near $far; do
  ip -n $host route add default dev eth0
  ip -n $host -6 route add default dev eth0
done
"""


# The near host keeps eth1, and the far one eth0.
_ROUTE = """
ip -n $near link del eth0
ip -n $far link del eth1
ip -n $switch addr add 10.78.1.254/24 dev br1
ip -n $switch addr add 10.78.0.254/24 dev br0
on $switch sysctl -qw net.ipv4.ip_forward=1
ip -n $near route replace default via 10.78.1.254
ip -n $far route add 10.78.1.0/24 via 10.78.0.254
"""


@contextmanager
def feed(
    host: Machine,
    group: str,
    port: int,
    *,
    interface: str = "eth0",
    size: int = 100,
    ttl: int = 1,
    loopback: bool = True,
    period: float = 0.01,
    burst: int = 1,
) -> Generator[None, None, None]:
    """Send datagrams from a host during the block, ``burst`` of them every ``period`` seconds."""

    def run(over: threading.Event) -> None:
        messages = [bytes(size)] * burst
        with on(host), Sender(group, port, interface=interface, ttl=ttl, loopback=loopback, gso=False) as tx:
            while not over.wait(period):
                try:
                    tx.send_many(messages)
                except OSError as error:
                    # Faults that tests make on the sender: its firewall, its routes.
                    if error.errno not in {errno.EPERM, errno.ENETUNREACH}:
                        raise

    with running(run):
        yield
