"""Run the relays of the container files in the documentation, with network namespaces in place of containers."""

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with myst-parser; its stubs would be one package more

from tests.support.hosts import Host
from tests.support.markdown import Block, blocks
from tests.support.private_network import ROOT
from tests.support.programs import Program
from tests.wire import faults
from tests.wire.places import on
from tests.wire.relaying import MULTICAST, NatsServer

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

PAGE = ROOT / "docs" / "how-to" / "containers.md"
# The group and the server in the files.
GROUP, SERVER = "239.1.2.3", "nats:4222"


def manifests() -> list[Any]:
    found: list[Block] = [block for block in blocks(PAGE) if block.language == "yaml"]
    return [yaml.safe_load(block.code) for block in found]


def pod(name: str) -> dict[str, Any]:
    """Return the containers of a deployment of Kubernetes, by name."""
    for manifest in manifests():
        if manifest.get("metadata", {}).get("name") == name:
            return {one["name"]: one for one in manifest["spec"]["template"]["spec"]["containers"]}
    raise AssertionError(f"there is no {name}")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def check(stack: ExitStack, hosts: list[Host], outside: list[str], inside: list[str]) -> None:
    """Run a relay on the first host and one in a container, the second host. A program there hears the third host.

    The container's network carries no multicast.
    """
    with on(hosts[1]):
        faults.sh(
            "nft 'add table inet plain; add chain inet plain i { type filter hook input priority 0; };"
            'add rule inet plain i iifname "eth0" pkttype multicast ip daddr 224.0.0.0/4 drop\''
        )
    listening = [*MULTICAST, "listen", f"{GROUP}:5000%lo", "-c", "3"]
    program = stack.enter_context(Program(hosts[1].command(*listening)))
    relay_in = stack.enter_context(Program(hosts[1].command(*MULTICAST, *inside)))
    relay_out = stack.enter_context(Program(hosts[0].command(*MULTICAST, *outside)))
    program.until_joined(GROUP)
    relay_out.until_joined(GROUP)
    words = ["send", f"{GROUP}:5000%eth0", "-q", "--count", "400", "--rate", "20", "hello"]
    sender = stack.enter_context(Program(hosts[2].command(*MULTICAST, *words)))
    assert program.finish() == 0, relay_in.err + relay_out.err + sender.err
    assert program.out.splitlines() == ["hello"] * 3


def test_compose_file_relays_a_group_into_a_container(stack: ExitStack, hosts: list[Host]) -> None:
    (file,) = (one for one in manifests() if "relay-in" in one.get("services", {}))
    services = file["services"]
    ((network, settings),) = services["program"]["networks"].items()
    container = settings["ipv4_address"]
    (subnet,) = file["networks"][network]["ipam"]["config"]
    assert ip_address(container) in ip_network(subnet["subnet"])
    assert any(container in word for word in services["relay-out"]["command"])
    assert services["relay-in"]["network_mode"] == "service:program"
    assert services["relay-out"]["network_mode"] == "host"
    outside = [word.replace(container, hosts[1].ipv4) for word in services["relay-out"]["command"]]
    check(stack, hosts, outside, services["relay-in"]["command"])


def test_kubernetes_files_relay_a_group_into_a_pod(stack: ExitStack, hosts: list[Host]) -> None:
    server = NatsServer(hosts[2])
    stack.callback(server.kill)
    outside, inside = pod("relay-out")["relay"]["args"], pod("program")["relay-in"]["args"]
    address = f"{hosts[2].ipv4}:{server.port}"
    check(
        stack,
        hosts,
        [word.replace(SERVER, address) for word in outside],
        [word.replace(SERVER, address) for word in inside],
    )
