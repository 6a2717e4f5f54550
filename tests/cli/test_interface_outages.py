"""Commands whose interface goes down or is deleted say so once, and go on when it is back."""

import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multicast import Receiver, Sender, interfaces
from multicast.apps import links
from tests.cli.running import GROUP, MULTICAST, run, start
from tests.support.programs import Program
from tests.support.terminal import OnTerminal
from tests.support.waiting import until

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

NAME = "out0"


def ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


def add() -> None:
    ip(
        f"link add {NAME} type veth peer name out1",
        # First, so that nothing is sent from the address of another interface.
        f"addr add 10.9.8.1/24 dev {NAME}",
        f"link set {NAME} up",
        "link set out1 up",
    )


@pytest.fixture(autouse=True)
def interface() -> Iterator[None]:
    """An interface that a test may take away, if it puts it back."""
    add()
    yield
    ip(f"link del {NAME}")


OUTAGES = {"down": (f"link set {NAME} down", "down"), "deleted": (f"link del {NAME}", "gone")}
# Without a carrier, the kernel takes what is sent and drops it, so only listeners notice.
LISTENER_OUTAGES = {**OUTAGES, "carrier": ("link set out1 down", "down")}
LISTENERS = [(command, outage) for command in ("listen", "top", "measure") for outage in OUTAGES]


def restore(outage: str) -> None:
    """Bring the interface back."""
    if outage == "deleted":
        add()
    else:
        ip(f"link set {'out1' if outage == 'carrier' else NAME} up")


@pytest.mark.parametrize(("command", "outage"), [*LISTENERS, ("listen", "carrier")])
def test_listener_says_once_that_its_interface_is_away_and_receives_when_it_is_back(
    command: str, outage: str, free_port: int
) -> None:
    cut, word = LISTENER_OUTAGES[outage]
    with start(command, f"{GROUP}:{free_port}%{NAME}", "--json") as program:
        until(lambda: "listening to " in program.err, "the command to listen")
        ip(cut)
        said = f"multicast {command}: {NAME} is {word}: nothing arrives on it until it is back\n"
        until(lambda: said in program.err, "the outage")
        restore(outage)
        again = f"multicast {command}: listening again on {NAME} after "
        until(lambda: again in program.err, "the end of the outage")
        with Sender(GROUP, free_port, interface=NAME) as tx:
            tx.send(b"hello")
        until(lambda: _interim(program)["received"] == 1, "the datagram")
        program.interrupt()
        assert program.finish() == 130
    assert json.loads(program.out.splitlines()[-1])["received"] == 1
    assert program.err.count(said) == program.err.count(again) == 1
    assert "s without a working interface" in program.err


def test_links_leave_out_an_interface_that_is_deleted_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    found = interfaces()
    deleted = dataclasses.replace(found[0], name="gone0", index=999_999)
    monkeypatch.setattr(links, "interfaces", lambda: [deleted, *found])
    assert [link.name for link in links.links()] == [one.name for one in found]


def test_listener_whose_interface_goes_down_and_is_then_deleted_says_both(free_port: int) -> None:
    with start("listen", f"{GROUP}:{free_port}%{NAME}") as program:
        until(lambda: "listening to " in program.err, "the command to listen")
        for outage, (cut, word) in OUTAGES.items():
            ip(cut)
            until(lambda: f"{NAME} is {word}: " in program.err, outage)  # noqa: B023
        add()
        until(lambda: f"listening again on {NAME} after " in program.err, "the end of the outage")
        program.interrupt()
        assert program.finish() == 130
    assert [program.err.count(f" {word}: nothing arrives") for word in ("down", "gone")] == [1, 1]


@pytest.mark.parametrize("cut", [OUTAGES["down"][0], LISTENER_OUTAGES["carrier"][0]], ids=["down", "carrier"])
@pytest.mark.parametrize("command", ["listen", "top", "measure", "record"])
def test_listener_whose_interface_is_down_at_the_start_says_so_once(
    command: str, cut: str, free_port: int, tmp_path: Path
) -> None:
    ip(cut)
    more = {"record": ["-o", str(tmp_path / "file.pcapng")]}.get(command, [])
    done = run(command, f"{GROUP}:{free_port}%{NAME}", "-d", "1.3", "--json", *more)
    said = f"multicast {command}: {NAME} is down: nothing arrives on it until it is back\n"
    assert (done.returncode, done.stderr.decode().count(said)) == (70, 1)


def test_ping_whose_interface_is_down_says_what_to_do() -> None:
    ip(f"link set {NAME} down")
    done = run("ping", f"{GROUP}%{NAME}", "-c", "1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().endswith(
        f"multicast ping: cannot send to {GROUP}: Network is unreachable ({NAME} is down: bring it up, or name another "
        "interface)\n"
    )


@pytest.mark.parametrize("outage", OUTAGES)
def test_ping_says_once_that_its_interface_is_away_and_sends_again_when_it_is_back(outage: str) -> None:
    cut, _ = OUTAGES[outage]
    endpoint = f"{GROUP}%{NAME}"
    with (
        start("ping", endpoint, "--answer") as responder,
        start("ping", endpoint, "--interval", "0.05") as program,
    ):
        responder.until_joined(GROUP)
        program.line_with("multicast seq=")
        ip(cut)
        until(lambda: "(trying again)\n" in program.err, "a request that is refused")
        restore(outage)
        until(lambda: "multicast ping: sending again\n" in program.err, "a request that is sent")
        before = len(program.out)
        until(lambda: "multicast seq=" in program.out[before:], "a reply")
        program.interrupt()
        assert program.finish() == 130
    assert program.err.count("(trying again)\n") == program.err.count("sending again\n") == 1
    assert "refused by this machine), 1 host answered\n" in program.err


SENT = {
    "numbered": ["--numbered", "--rate", "100"],
    "words": ["hello", "-c", "100000", "--rate", "100"],
    "bits": ["hello", "-c", "100000", "--bit-rate", "4000"],
}


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("words", SENT.values(), ids=SENT)
def test_send_says_once_that_its_interface_is_away_and_counts_what_it_could_not_send(
    words: list[str], outage: str, free_port: int
) -> None:
    cut, _ = OUTAGES[outage]
    begun = time.monotonic()
    with (
        Receiver(GROUP, free_port, interface=NAME) as rx,
        start("send", f"{GROUP}:{free_port}%{NAME}", *words, "--json") as program,
    ):
        rx.recv(timeout=15)
        ip(cut)
        until(lambda: "(trying again)\n" in program.err, "a datagram that is refused")
        until(lambda: _interim(program)["failed"] > 5, "more of them")
        restore(outage)
        until(lambda: "multicast send: sending again after " in program.err, "a datagram that is sent again")
        before = _interim(program)["sent"]
        until(lambda: _interim(program)["sent"] > before, "more of them")
        program.interrupt()
        assert program.finish() == 130
    summary = json.loads(program.out.splitlines()[-1])
    # A hundred a second, whether they could be sent or not, and up to 64 that were handed over together.
    assert summary["sent"] + summary["failed"] <= 100 * (time.monotonic() - begun) + 64
    assert program.err.count("(trying again)\n") == program.err.count("sending again after ") == 1


def test_send_of_a_pipe_goes_on_after_an_outage_and_fails(free_port: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = [f"{GROUP}:{free_port}%{NAME}", "--file", os.fspath(pipe), "--size", "3"]
    with Receiver(GROUP, free_port, interface=NAME) as rx, start("send", *words) as program:
        with pipe.open("wb", buffering=0) as live:
            live.write(b"one")
            assert rx.recv(timeout=10).data == b"one"
            ip(f"link set {NAME} down")
            live.write(b"two")
            until(lambda: "(trying again)\n" in program.err, "a piece that is refused")
            ip(f"link set {NAME} up")
            live.write(b"six")
            assert rx.recv(timeout=10).data == b"six"
        assert program.finish() == 1
    assert "sent 2 datagrams, 6 bytes, " in program.err
    assert program.err.endswith(" s; 1 could not be sent\n")


@pytest.mark.parametrize(
    "words",
    [["hello"], ["hello", "-c", "5", "--rate", "10"], ["--numbered"]],
    ids=["one", "paced", "numbered"],
)
def test_send_whose_first_datagram_is_refused_ends_with_the_error(words: list[str], free_port: int) -> None:
    ip(f"link set {NAME} down")
    done = run("send", f"{GROUP}:{free_port}%{NAME}", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"multicast send: cannot send to {GROUP}:{free_port} on {NAME}: ")


def test_send_without_a_rate_ends_with_the_error_when_its_interface_goes_away(free_port: int) -> None:
    words = [f"{GROUP}:{free_port}%{NAME}", "hello", "-c", "1000000000", "--json"]
    with Receiver(GROUP, free_port, interface=NAME) as rx, start("send", *words) as program:
        rx.recv(timeout=15)
        ip(f"link set {NAME} down")
        assert program.finish() == 2
    assert json.loads(program.out.splitlines()[-1])["failed"] == 0
    assert "Network is unreachable" in program.err


def _interim(program: Program) -> dict[str, int]:
    """Return the counters of an interim summary."""
    head = '{"type":"interim"'
    before = program.out.count(head)
    program.interrupt(signal.SIGUSR1)
    until(lambda: program.out.count(head) > before, "an interim summary")
    counters: dict[str, int] = json.loads(head + program.out.rpartition(head)[2].partition("\n")[0])
    return counters


def test_live_screen_shows_that_the_interface_is_away_until_it_is_back(free_port: int) -> None:
    with OnTerminal(*MULTICAST, "top", f"{GROUP}:{free_port}%{NAME}", "-n", "0.2", columns=80) as program:
        program.until_shown("WAITING")
        ip(f"link set {NAME} down")
        program.until_shown(f"{NAME} away  lost 0")
        ip(f"link set {NAME} up")
        program.until(lambda: program.screen()[1].startswith("lost 0"), "a screen without the outage")
        program.type("q")
        assert program.finish() == 70
