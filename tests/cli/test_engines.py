"""The option ``--engine`` of the commands that receive: by sockets or by packets, between two hosts."""

import json
import re
import signal
from pathlib import Path

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST
from tests.support import waiting
from tests.support.hosts import Host
from tests.support.programs import Program

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

WHERE = f"{GROUP}:50138%eth0"
NO_RIGHTS = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]


def packet_sockets(host: Host) -> int:
    """Return the number of packet sockets on the host."""
    return len(host.run("cat", "/proc/net/packet").stdout.splitlines()) - 1


@pytest.mark.parametrize(
    ("engine", "rights", "by_packets"),
    [("socket", [], False), ("packet", [], True), ("auto", [], True), ("auto", NO_RIGHTS, False)],
    ids=["socket", "packet", "auto", "auto-without-rights"],
)
@pytest.mark.parametrize("command", ["listen", "measure", "record", "top"])
def test_engine_receives_every_datagram(
    command: str, engine: str, rights: list[str], by_packets: bool, hosts: list[Host], tmp_path: Path
) -> None:
    here, there = hosts[:2]
    ends = {"top": ["--once", "-n", "2"], "record": ["-c", "20", "-o", str(tmp_path / "file")]}
    words = [command, WHERE, "--engine", engine, "--json", *ends.get(command, ["-c", "20"])]
    with Program(here.command(*rights, *MULTICAST, *words)) as program:
        # The socket joins the group before the ring is ready.
        waiting.until(lambda: "listening to" in program.err, "the listener")
        assert (packet_sockets(here) > 0) == by_packets
        sent = there.run(*MULTICAST, "send", WHERE, "--numbered", "-c", "20", "--rate", "1k")
        assert sent.returncode == 0, sent.stderr
        assert program.finish() == 0, program.err
    summary = json.loads(program.out.splitlines()[-1])
    received = summary["read" if command == "record" else "received"]
    assert (received, summary["kernel_drops"], summary["invalid"]) == (20, 0, 0)


@pytest.mark.parametrize("command", ["listen", "record"])
def test_engine_that_drops_coalesced_packets_says_that_the_count_is_a_minimum(
    command: str, free_port: int, tmp_path: Path
) -> None:
    ends = ["-o", str(tmp_path / "file")] if command == "record" else []
    words = [command, f"{GROUP}:{free_port}%lo", "--engine", "packet", "--recv-buffer", "1", *ends]
    with Program([*MULTICAST, *words]) as program:
        waiting.until(lambda: "listening to" in program.err, "the listener")
        program.interrupt(signal.SIGSTOP)
        with Sender(GROUP, free_port, interface="lo", gso=True) as tx:
            tx.send_many([bytes(1000)] * 20_000)
            assert tx.stats().coalesced > 0
        program.interrupt(signal.SIGCONT)
        program.interrupt()
        assert program.finish() == 130
    received, dropped = (
        int(re.search(pattern, program.err.splitlines()[-1])[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"(?:received|recorded) ([\d,]+) datagrams", r"dropped at least ([\d,]+) here")
    )
    assert received + dropped < 20_000


def test_engine_that_is_not_permitted_is_an_error(hosts: list[Host]) -> None:
    done = hosts[0].run(*NO_RIGHTS, *MULTICAST, "listen", WHERE, "--engine", "packet")
    assert done.returncode not in {0, 70}
    (line,) = done.stderr.splitlines()
    assert line.startswith("multicast listen: cannot ")
    assert "CAP_NET_RAW" in line
