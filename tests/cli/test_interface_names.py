"""Test that the commands accept every name of an interface: its name, alternative names and label."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.running import run, start

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

NAMES = ["nm0", "lan-of-nm0", "the-uplink-of-this-host", "nm0:1"]


@pytest.fixture(scope="module", autouse=True)
def interface() -> Iterator[str]:
    """An interface with several names."""
    commands = """ip link add nm0 type veth peer name nm1; ip link set nm0 up; ip link set nm1 up
        ip link property add dev nm0 altname lan-of-nm0 altname the-uplink-of-this-host
        ip addr add 192.0.2.78/32 dev nm0; ip addr add 10.9.7.1/24 dev nm0 label nm0:1
        ip -6 addr add fd09:7::1/64 dev nm0 nodad"""
    subprocess.run(["bash", "-ec", commands], check=True)
    yield "nm0"
    subprocess.run(["ip", "link", "del", "nm0"], check=True)


@pytest.mark.parametrize("group", ["239.4.6.7", "ff15::4:6:7"])
@pytest.mark.parametrize("name", NAMES)
def test_message_by_any_name_of_the_interface_is_received(name: str, group: str, free_port: int) -> None:
    option, zone = ["--group", group, "--iface", name], ["--group", f"{group}%{name}"]
    port = ["--port", str(free_port)]
    for one, other in ((option, zone), (zone, option)):
        with start("--use-std", "RECV", *port, *one, "--timeout", "10") as listener:
            listener.until_joined(group)
            said = run("SAY", *port, *other, "-m", "hello")
            assert (said.returncode, said.stderr) == (0, b"")
            assert (listener.finish(), listener.out, listener.err) == (0, "hello\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_interfaces_shows_the_interface_by_any_of_its_names(name: str) -> None:
    done = run("interfaces", "-q", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"nm0\n", b"")
