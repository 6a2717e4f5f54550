"""Steps that change interfaces, addresses and routes."""

from tests.chaos.model import Interface
from tests.chaos.world import World


class InterfaceSteps(World):
    """Each method returns whether it was possible."""

    def add(self, interface: str, kind: str) -> bool:
        if interface in self.model.interfaces:
            return False
        self.network.add(interface, kind)
        self.model.appear(Interface(interface, kind, self._index(interface)))
        return True

    def _index(self, interface: str) -> int:
        # This process may be out of descriptors, but the shell is not.
        return int(self.network.shell.run(f"ip -oneline link show {interface}").partition(":")[0])

    def _disturb(self, interface: str, possible: bool) -> bool:
        if possible:
            self.model.disturb(interface)
        return possible

    def down(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not self._disturb(interface, state.exists and state.is_up):
            return False
        state.is_up = False
        self._lose_route(interface)
        self.network.links[interface].set_up(False)
        return True

    def up(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not state.exists or state.is_up:
            return False
        self.network.links[interface].set_up(True)
        state.is_up = True
        return True

    def flap(self, interface: str) -> bool:
        return self.down(interface) and self.up(interface)

    def unplug(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not self._disturb(interface, state.exists and state.has_carrier and state.kind != "tun"):
            return False
        state.has_carrier = False
        self.network.links[interface].set_carrier(False)
        return True

    def plug(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not state.exists or state.has_carrier:
            return False
        self.network.links[interface].set_carrier(True)
        state.has_carrier = True
        return True

    def delete(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not self._disturb(interface, state.exists):
            return False
        state.exists = False
        self._lose_route(interface)
        self.network.links[interface].delete()
        return True

    def create(self, interface: str, index: int = 0) -> bool:
        state = self.model.interfaces[interface]
        if state.exists:
            return False
        self.network.links[interface].create(index)
        state.index = self._index(interface)
        state.exists = state.is_up = state.has_carrier = state.has_ipv6 = True
        return True

    def recreate(self, interface: str) -> bool:
        return self.delete(interface) and self.create(interface)

    def same_index(self, interface: str) -> bool:
        """Delete an interface, and create it again with the index that it had."""
        state = self.model.interfaces[interface]
        return state.kind != "tun" and self.delete(interface) and self.create(interface, state.index)

    def usurp(self, interface: str, name: str) -> bool:
        """Delete an interface, and give its index to a new one."""
        state = self.model.interfaces[interface]
        if name in self.model.interfaces or not self.delete(interface):
            return False
        self.network.add(name, "veth", state.index)
        self.model.appear(Interface(name, "veth", state.index))
        return True

    def ipv6_off(self, interface: str) -> bool:
        """Make the MTU too small for IPv6 (RFC 8200 section 5): the kernel leaves all IPv6 groups there."""
        state = self.model.interfaces[interface]
        if not state.exists or not state.has_ipv6:
            return False
        self.model.disturb(interface, only_ipv6=True)
        state.has_ipv6 = False
        self.network.shell.run(f"ip link set {interface} mtu 1000")
        return True

    def ipv6_on(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not state.exists or state.has_ipv6:
            return False
        address = self.network.links[interface].addresses[1]
        self.network.shell.run(f"""
            ip link set {interface} mtu 1500
            ip -6 addr replace {address} dev {interface} nodad
        """)
        state.has_ipv6 = True
        return True

    def restore(self) -> None:
        """Let every interface work."""
        for interface in self.model.interfaces:
            _ = self.create(interface), self.up(interface), self.plug(interface), self.ipv6_on(interface)

    def route(self, interface: str) -> bool:
        """Let the routes of IPv4 groups lead to an interface."""
        if not self.model.interfaces[interface].is_up or not self.model.interfaces[interface].exists:
            return False
        # Where the groups are between the two commands is not defined.
        self.model.follow_route(interface)
        self.network.shell.run(f"ip route replace 224.0.0.0/4 dev {interface}")
        return True

    def _lose_route(self, interface: str) -> None:
        """The kernel removes the routes of an interface that goes down. Then the default route counts."""
        if self.model.route == interface:
            self.model.follow_route("")

    # Changes that concern no membership

    def readdress(self, interface: str) -> bool:
        """Remove the addresses of an interface, and add them again."""
        if not self.model.interfaces[interface].exists:
            return False
        # Without an IPv4 address, an interface has no IPv4 routes.
        self._lose_route(interface)
        ipv4, ipv6 = self.network.links[interface].addresses
        self.network.shell.run(f"""
            ip addr del {ipv4} dev {interface} 2>/dev/null || true
            ip -6 addr del {ipv6} dev {interface} 2>/dev/null || true
            ip addr add {ipv4} dev {interface}
            ip -6 addr replace {ipv6} dev {interface} nodad 2>/dev/null || true
        """)
        return True

    def add_address(self, interface: str) -> bool:
        """Add another address to an interface, and remove it again."""
        if not self.model.interfaces[interface].exists:
            return False
        self.network.shell.run(
            f"ip addr add 10.67.0.1/32 dev {interface}; ip addr del 10.67.0.1/32 dev {interface}"
        )
        return True

    def routes(self, count: int) -> None:
        """Add and remove routes to places where no group is."""
        lines = [
            f"route {verb} unreachable 198.18.{n // 250}.{n % 250}/32"
            for verb in ("add", "del")
            for n in range(count)
        ]
        self.network.shell.run("ip -batch - <<'END'\n" + "\n".join(lines) + "\nEND")

    def stranger(self, count: int) -> None:
        """Let an interface without memberships come and go."""
        for _ in range(min(count, 20)):
            self.network.shell.run("""
                ip link add stranger type veth peer name stranger1
                ip addr add 10.68.0.1/24 dev stranger; ip link set stranger up; ip link del stranger
            """)
