"""Test against socat, iperf 2 and multicat on three hosts of one bridge, in both directions and both IP versions.

With a source-specific group, a third host sends first to the same group and port and must not be received.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from multicast.sync import Receiver, Sender
from tests.support import waiting
from tests.support.hosts import Host
from tests.support.programs import Program
from tests.wire.exchange import PATIENCE
from tests.wire.foreign import COUNT, KINDS, PROGRAMS, Foreign, Kind
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

Tool = Callable[[str], str]


def numbered(payloads: Iterable[bytes]) -> list[int]:
    return [int.from_bytes(payload[:4], "big", signed=True) for payload in payloads]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_receiver_datagrams_of_other_program_are_received(
    program: Foreign, kind: Kind, tool: Tool, hosts: list[Host], tmp_path: Path
) -> None:
    us, wanted, unwanted = hosts
    path = tool(program.name)
    source = [kind.address(wanted)] if kind.specific else []
    with on(us):
        rx = Receiver(kind.group, 0, interface="eth0", source=source)
    with rx:
        argv = program.say(kind, rx.port, tmp_path)
        for host in [unwanted, wanted] if kind.specific else [wanted]:
            done = host.run(path, *argv)
            assert done.returncode == 0, done.stderr
        said = program.said()
        first = rx.recv(timeout=PATIENCE)
        heard = [first, *(rx.recv(timeout=PATIENCE) for _ in range((len(said) if said else COUNT) - 1))]
        assert {datagram.sender[0] for datagram in heard} == {kind.address(wanted)}
        assert {datagram.ttl for datagram in heard} == {program.ttl(kind)}
        assert {datagram.group for datagram in heard} == {kind.group}
        payloads = [datagram.data for datagram in heard]
        if said is None:
            numbers = numbered(payloads)
            assert numbers == list(range(numbers[0], numbers[0] + COUNT))
        else:
            assert payloads == said


LISTENING = [(program, kind) for program in PROGRAMS for kind in program.hears]


@pytest.mark.parametrize(
    ("program", "kind"), LISTENING, ids=[f"{one.name}-{kind}" for one, kind in LISTENING]
)
def test_sender_datagrams_are_received_by_other_program(
    program: Foreign, kind: Kind, tool: Tool, hosts: list[Host], tmp_path: Path, free_port: int
) -> None:
    us, wanted, unwanted = hosts

    def say(host: Host, who: str) -> str:
        with on(host), Sender(kind.group, free_port, interface="eth0") as tx:
            messages = program.to_be_heard(who)
            assert tx.send_many(messages) == len(messages)
            return f" {kind.address(host)} "

    with Program(
        us.command(tool(program.name), *program.hear(kind, free_port, us, wanted, tmp_path))
    ) as listener:
        listener.until_joined(kind.group)
        strangers = [say(unwanted, "unwanted")] if kind.specific else []
        say(wanted, "wanted")
        waiting.until(
            lambda: program.has_heard_all(program.heard(listener, tmp_path), "wanted"),
            f"{program.name} to hear all; it printed {listener.out} {listener.err}",
        )
        assert not any(stranger in listener.out for stranger in strangers)
