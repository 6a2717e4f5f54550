"""Real interfaces of three kinds in this network namespace, and packets that arrive by them.

The other end of an interface is in a namespace of its own, or is this process itself. Packets are made byte by byte, so
their sources need no address and no socket.
"""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Generator
from pathlib import Path

from tests.chaos import packets
from tests.support.machines import SpareMachine
from tests.wire.places import on

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
TUN = Path("/dev/net/tun")


class Shell:
    """A shell that was started before the descriptors of this process ran out."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def run(self, commands: str) -> str:
        """Run commands until the first that fails, and return what they print.

        Raises:
            RuntimeError: One failed. The message holds what it printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"( set -e\n{commands}\n) </dev/null 2>&1; code=$?; echo; echo end $code\n")
        self._process.stdin.flush()
        printed: list[str] = []
        while not (line := self._process.stdout.readline()).startswith("end "):
            if not line:
                raise RuntimeError("the shell has ended")
            printed.append(line)
        if line != "end 0\n":
            raise RuntimeError(f"{commands.strip()}: {''.join(printed).strip()}")
        return "".join(printed).strip()

    def close(self) -> None:
        self._process.communicate()


class Link(ABC):
    """An interface of this namespace, and its other end."""

    def __init__(self, name: str, number: int, network: "Network") -> None:
        self.name = name
        self.network = network
        self.addresses = [f"10.66.{number}.1/24", f"fd66:{number}::1/64"]

    def run(self, commands: str) -> None:
        self.network.shell.run(commands)

    @abstractmethod
    def create(self, index: int = 0) -> None:
        """Create the interface, with this index if it is not 0, and bring it up with its addresses."""

    def delete(self) -> None:
        """Delete the interface."""
        self.run(f"ip link del {self.name}")

    @abstractmethod
    def inject(self, source: str, group: str, port: int, payload: bytes) -> None:
        """Let a datagram arrive by the interface.

        Raises:
            OSError: The interface is down or absent.
        """

    def set_up(self, is_up: bool) -> None:
        self.run(f"ip link set {self.name} {'up' if is_up else 'down'}")
        if is_up:
            # A global IPv6 address is lost when the interface goes down. Without IPv6, none can be added.
            self.run(f"ip -6 addr replace {self.addresses[1]} dev {self.name} nodad 2>/dev/null || true")
            self.await_carrier()

    @abstractmethod
    def await_carrier(self) -> None:
        """Wait until a packet that is sent at the other end arrives.

        The kernel learns of a carrier later than `ip link set` returns, and discards what is sent before without an
        error. It catches up before it answers a question about the interface.
        """

    def set_carrier(self, has_carrier: bool) -> None:
        """Let the other end of the cable come or go."""
        raise NotImplementedError(f"{type(self).__name__} has no cable")

    def configure(self) -> None:
        ipv4, ipv6 = self.addresses
        self.run(f"""
            ip addr add {ipv4} dev {self.name}
            ip link set {self.name} up
            ip -6 addr replace {ipv6} dev {self.name} nodad
        """)
        self.await_carrier()


def _with_index(index: int) -> str:
    return f"index {index}" if index else ""


class VethLink(Link):
    """A cable to the other namespace."""

    def create(self, index: int = 0) -> None:
        far = self.network.far.name
        self.run(f"""
            ip link add {self.name} {_with_index(index)} type veth peer name {self.name} netns {far}
            ip -n {far} link set {self.name} up
        """)
        self.configure()

    def inject(self, source: str, group: str, port: int, payload: bytes) -> None:
        self.network.transmit(self.name, source, group, port, payload)

    def set_carrier(self, has_carrier: bool) -> None:
        self.run(f"ip -n {self.network.far.name} link set {self.name} {'up' if has_carrier else 'down'}")
        self.await_carrier()

    def await_carrier(self) -> None:
        self.run(f"ip -n {self.network.far.name} link show {self.name}")


class BridgeLink(VethLink):
    """A bridge with one port, a cable to the other namespace."""

    def create(self, index: int = 0) -> None:
        far, port = self.network.far.name, f"{self.name}p"
        self.run(f"""
            ip link add {self.name} {_with_index(index)} type bridge mcast_snooping 0
            ip link add {port} type veth peer name {self.name} netns {far}
            ip -n {far} link set {self.name} up
            ip link set {port} master {self.name} up
        """)
        self.configure()

    def delete(self) -> None:
        self.run(f"ip link del {self.name}p; ip link del {self.name}")

    def await_carrier(self) -> None:
        # The port of the bridge forwards once it has a carrier, too.
        self.run(f"ip link show {self.name}p; ip -n {self.network.far.name} link show {self.name}")


class TunLink(Link):
    """A link without hardware addresses, whose other end is this process."""

    _descriptor = -1

    def create(self, index: int = 0) -> None:
        if index:
            raise NotImplementedError("the index of a tun interface cannot be chosen")
        self._descriptor = os.open(TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        request = struct.pack("16sH22x", self.name.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(self._descriptor, _TUNSETIFF, request)
        self.configure()

    def delete(self) -> None:
        os.close(self._descriptor)

    def await_carrier(self) -> None:
        """It has none: what is written to it arrives."""

    def inject(self, source: str, group: str, port: int, payload: bytes) -> None:
        os.write(self._descriptor, packets.packet(source, group, (SOURCE_PORT, port), payload))


SOURCE_PORT = 40_000
KINDS: dict[str, type[Link]] = {"veth": VethLink, "bridge": BridgeLink, "tun": TunLink}


class Network:
    """The interfaces, and the namespace of their other ends."""

    def __init__(self, far: SpareMachine) -> None:
        self.far = far
        self.shell = Shell()
        self.links: dict[str, Link] = {}
        with on(far):
            self._sender = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)

    def add(self, name: str, kind: str, index: int = 0) -> None:
        """Create an interface, with this index if it is not 0."""
        link = KINDS[kind](name, len(self.links) + 1, self)
        self.links[name] = link
        link.create(index)

    def transmit(self, interface: str, source: str, group: str, port: int, payload: bytes) -> None:
        """Send a datagram from an interface of the other namespace."""
        data = packets.packet(source, group, (SOURCE_PORT, port), payload)
        address = (interface, packets.ethertype(group), 0, 0, packets.hardware_address(group))
        self._sender.sendto(data, address)

    def close(self) -> None:
        self._sender.close()
        for link in self.links.values():
            # The last step of a run may have deleted it.
            with contextlib.suppress(RuntimeError, OSError):
                link.delete()
        self.shell.close()


@contextlib.contextmanager
def running(label: str = "chaos") -> Generator[Network, None, None]:
    """Provide a network without interfaces, and remove everything at the end."""
    far = SpareMachine(label, 0)
    # Sources need no route back, and addresses need no check for duplicates.
    quiet = "for f in /proc/sys/net/ipv4/conf/{all,default}/rp_filter /proc/sys/net/ipv6/conf/{all,default}/accept_dad"
    set_up = f"ip netns add {far.name}; {quiet}; do [ ! -e $f ] || echo 0 >$f; done"
    subprocess.run(["bash", "-ec", set_up], check=True)
    try:
        with contextlib.closing(Network(far)) as network:
            yield network
    finally:
        subprocess.run(["ip", "netns", "del", far.name], check=True)
