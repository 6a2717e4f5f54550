"""What ``-v`` adds on standard error: sockets, addresses, interfaces, and what happened to the memberships."""

import re
from collections.abc import Iterator

import pytest

from tests.cli.running import GROUP, MULTICAST, run, start
from tests.support import waiting
from tests.support.programs import Program
from tests.wire.lab import Lab, feed, lab

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

PORT = 50_791


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


def test_verbose_send_names_the_socket_and_its_settings(free_port: int) -> None:
    words = ["--from", f"192.0.2.2:{free_port}", "--dscp", "46", "--no-loopback", "--ttl", "3", "-c", "8"]
    done = run("send", "-v", f"{GROUP}:5000", "x", *words)
    socket, sent, together = done.stderr.decode().splitlines()
    assert socket == f"sending from 192.0.2.2:{free_port} with TTL 3, DSCP 46 and multicast loopback off"
    assert sent.startswith("sent 8 datagrams, 8 bytes, to ")
    assert re.fullmatch(r"\d datagrams? handed to the system together with others", together)


def test_verbose_send_without_a_port_of_its_own_names_none(free_port: int) -> None:
    """The system chooses the port when the first datagram is sent."""
    done = run("send", "-v", f"{GROUP}:{free_port}", "x")
    socket = done.stderr.decode().splitlines()[0]
    assert socket == "sending with TTL 1, DSCP 0 and multicast loopback on"


@pytest.mark.parametrize("command", ["listen", "measure", "top"])
def test_verbose_listener_names_its_buffers_and_outages(command: str, free_port: int) -> None:
    done = run(command, "-v", f"{GROUP}:{free_port}%lo", "-d", "0.2")
    joined, buffer, *_, health, advice = done.stderr.decode().splitlines()
    assert joined == f"listening to {GROUP}:{free_port} on lo"
    assert re.fullmatch(r"1 socket with a receive buffer of [\d,]+ bytes( \([\d,]+ requested\))?", buffer)
    assert health == (
        "0 changes of joined interfaces, 0 memberships rejoined, 0.0 s without a working interface, at most 0 "
        "datagrams waiting in this program"
    )
    assert advice.startswith("nothing arrived")


def test_verbose_listener_reports_that_it_joined_again(net: Lab) -> None:
    here = f"{GROUP}:{PORT}%eth0"
    with (
        feed(net.far, GROUP, PORT),
        Program(net.near.command(*MULTICAST, "listen", "-v", here)) as program,
    ):
        program.line()
        net.sh("ip -n $near link set eth0 down; ip -n $near link set eth0 up")
        waiting.until(lambda: "rejoined" in program.err, "the change to be reported")
        program.interrupt()
        assert program.finish() == 130
    news = next(line for line in program.err.splitlines() if "rejoined" in line)
    assert re.fullmatch(r"[12] changes? of joined interfaces, \d memberships? rejoined", news), program.err
    assert re.search(r"\n[12] changes? of joined interfaces, .*, \d+\.\d s without", program.err), program.err


def test_verbose_ping_names_the_sockets_of_both_ends(net: Lab) -> None:
    with Program(net.far.command(*MULTICAST, "ping", "-v", f"{GROUP}%eth0", "--answer")) as answering:
        answering.until_joined(GROUP)
        words = ["ping", "-v", f"{GROUP}%eth0", "-c", "1", "-t", "0.3"]
        done = net.near.run(*MULTICAST, *words)
        assert done.returncode == 0, done
        assert re.search(
            r"^joined the group on eth0, sending from UDP port \d+ with TTL 64$", done.stderr, re.MULTILINE
        )
        assert "joined the group on eth0, sending from UDP port 4321 with TTL 64\n" in answering.err


def test_verbose_live_table_ends_with_the_memberships(free_port: int) -> None:
    with start("top", "-v", f"{GROUP}:{free_port}%lo") as program:
        program.until_joined(GROUP)
        program.interrupt()
        assert program.finish() == 130
    assert "0 memberships rejoined" in program.err
