"""Machines with the network of ordinary users. Unlike the namespace of the tests, it hides no difficulties.

None of them has the MULTICAST flag or a route for IPv6 groups on its loopback interface.
"""

import itertools
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support import hosts
from tests.support.hosts import Machine

ORDINARY = "ordinary"
"""A host of the private network: an interface eth0 with addresses, a network and default routes."""
DEFAULT_ROUTE = "default-route"
"""An interface eth0 that has one address and one route of each IP version, the default route."""
NO_ROUTE = "no-route"
"""Only a loopback interface, so that there is no route at all."""
KINDS = [ORDINARY, DEFAULT_ROUTE, NO_ROUTE]


@dataclass(frozen=True)
class SpareMachine(Machine):
    """A machine that exists only during a test."""

    label: str
    number: int

    @property
    def name(self) -> str:
        # Other processes of a parallel test run may share the names of namespaces.
        return f"{self.label}-{os.getpid()}-{self.number}"


_NUMBERS = itertools.count()


@contextmanager
def running(kind: str) -> Generator[Machine, None, None]:
    """Provide a machine of this kind for the block."""
    if kind == ORDINARY:
        yield hosts.available()[0]
        return
    machine, beyond = SpareMachine(kind, next(_NUMBERS)), SpareMachine("beyond", next(_NUMBERS))
    with _namespace(machine.name), _namespace(beyond.name):
        if kind == DEFAULT_ROUTE:
            _sh(f"""
                ip -n {machine.name} link add eth0 type veth peer name far0 netns {beyond.name}
                ip -n {machine.name} addr add 198.51.100.7/32 dev eth0
                ip -n {machine.name} -6 addr add 2001:db8:7::7/128 dev eth0 nodad
                ip -n {machine.name} link set eth0 up
                ip -n {beyond.name} link set far0 up
                ip -n {machine.name} route add default dev eth0
                ip -n {machine.name} -6 route add default dev eth0
            """)
        yield machine


@contextmanager
def _namespace(name: str) -> Generator[None, None, None]:
    _sh(f"ip netns add {name}; ip -n {name} link set lo up")
    try:
        yield
    finally:
        _sh(f"ip netns del {name}")


def _sh(commands: str) -> None:
    subprocess.run(["bash", "-ec", commands], check=True)
