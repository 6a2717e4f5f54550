"""Test python-zeroconf with our datagram endpoints: register, browse and resolve between hosts, together with avahi."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import Host
from tests.support.programs import Program, environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

# Both programs take the kind of loop and the IP version. Endpoints are ours; how many is printed at the end.
COMMON = """
import asyncio, json, signal, sys
from zeroconf import IPVersion, InterfaceChoice, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf
from multicast import aio
from tests.support import loops

def say(**fields): print(json.dumps(fields), flush=True)

class Ours:
    '''Makes the endpoints of a loop with our transport.'''
    def __init__(self): self.transports = []
    async def create(self, factory, *, sock):
        made = await aio.create_datagram_endpoint(factory, sock=sock)
        self.transports.append(made[0])
        return made

async def main():
    ours = Ours()
    asyncio.get_running_loop().create_datagram_endpoint = ours.create
    zc = AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion[sys.argv[2]])
    await zc.zeroconf.async_wait_for_start()
    try:
        await work(zc, asyncio.get_running_loop())
    finally:
        await zc.async_close()
    await asyncio.sleep(0)
    say(end=True, endpoints=len(ours.transports), closing=all(t.is_closing() for t in ours.transports))

loops.run(loops.KINDS[sys.argv[1]], main())
"""
REGISTER = """
async def work(zc, loop):
    import ipaddress
    addresses = [ipaddress.ip_address(text).packed for text in sys.argv[3:]]
    info = AsyncServiceInfo("_ours._tcp.local.", "one._ours._tcp.local.", addresses=addresses, port=8080,
                            properties={"key": "value"}, server="one.local.")
    await (await zc.async_register_service(info))
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    say(registered=info.name)
    await over.wait()
    await (await zc.async_unregister_service(info))
"""
BROWSE = """
async def work(zc, loop):
    seen = asyncio.Queue()
    def changed(zeroconf, service_type, name, state_change): seen.put_nowait((service_type, name, state_change))
    browser = AsyncServiceBrowser(zc.zeroconf, ["_ours._tcp.local.", "_workstation._tcp.local."], handlers=[changed])
    removed = False
    while not removed:
        kind, name, change = await asyncio.wait_for(seen.get(), 20)
        removed = change is ServiceStateChange.Removed and kind.startswith("_ours")
        found = {}
        if change is ServiceStateChange.Added:
            info = AsyncServiceInfo(kind, name)
            assert await info.async_request(zc.zeroconf, 5000)
            found = dict(port=info.port, addresses=sorted(info.parsed_addresses()),
                         properties=str(info.decoded_properties))
        say(name=name, change=change.name, **found)
    await browser.async_cancel()
"""
AVAHI = """[server]
use-ipv4=yes
use-ipv6=yes
enable-dbus=no
host-name=beside
[publish]
publish-workstation=yes
"""


@pytest.fixture
def avahi(tool: Callable[[str], str], hosts: list[Host], tmp_path: Path) -> Iterator[None]:
    """Run avahi-daemon on the second host. It has a folder for its state of its own."""
    configuration = tmp_path / "avahi.conf"
    configuration.write_text(AVAHI)
    folder = "/run/avahi-daemon"
    program = f"{tool('avahi-daemon')} --no-drop-root --no-chroot --no-rlimits --file={configuration}"
    script = f"mkdir -p {folder} && mount -t tmpfs tmpfs {folder} && exec {program}"
    with Program(hosts[1].command("sh", "-c", script)):
        yield


def program(host: Host, code: str, *arguments: str) -> Program:
    return Program(host.command(sys.executable, "-c", code, *arguments), env=environment(PYTHONPATH="."))


def report(running: Program) -> dict[str, Any]:
    """Return the next report of a program."""
    found: dict[str, Any] = json.loads(running.line_with("{", timeout=25))
    return found


@pytest.mark.usefixtures("avahi")
@pytest.mark.parametrize("version", ["V4Only", "All"])
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_zeroconf_on_our_endpoints_registers_browses_and_resolves(
    hosts: list[Host], kind: str, version: str
) -> None:
    first, second = hosts[0], hosts[1]
    addresses = [first.ipv4, first.ipv6]
    with ExitStack() as stack:
        register = stack.enter_context(program(first, REGISTER + COMMON, kind, version, *addresses))
        browse = stack.enter_context(program(second, BROWSE + COMMON, kind, version))
        assert report(register) == {"registered": "one._ours._tcp.local."}
        added: dict[str, dict[str, Any]] = {}
        while len(added) < 2:
            found = report(browse)
            if found["change"] == "Added":
                added[found["name"].partition(".")[0].partition(" ")[0]] = found
        assert added["one"] == {
            "name": "one._ours._tcp.local.",
            "change": "Added",
            "port": 8080,
            "addresses": addresses,
            "properties": "{'key': 'value'}",
        }
        # Published by avahi.
        assert second.ipv4 in added["beside"]["addresses"]
        register.interrupt(signal.SIGTERM)
        while report(browse)["change"] != "Removed":
            pass
        for running in (register, browse):
            end = report(running)
            assert (end["end"], end["closing"]) == (True, True)
            assert end["endpoints"] >= 2
            assert running.finish() == 0, running.err
