"""Commands whose interface goes down or is deleted say so once, and go on when it is back."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST, start
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
        f"link set {NAME} up",
        "link set out1 up",
        f"addr add 10.9.8.1/24 dev {NAME}",
    )


@pytest.fixture(autouse=True)
def interface() -> Iterator[None]:
    """An interface that a test may take away, if it puts it back."""
    add()
    yield
    ip(f"link del {NAME}")


OUTAGES = {"down": (f"link set {NAME} down", "down"), "deleted": (f"link del {NAME}", "gone")}


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("command", ["listen", "top", "measure"])
def test_listener_says_once_that_its_interface_is_away_and_receives_when_it_is_back(
    command: str, outage: str, free_port: int
) -> None:
    cut, word = OUTAGES[outage]
    with start(command, f"{GROUP}:{free_port}%{NAME}", "--json") as program:
        program.until_joined(GROUP)
        ip(cut)
        said = f"multicast {command}: {NAME} is {word}: nothing arrives on it until it is back\n"
        until(lambda: said in program.err, "the outage")
        if word == "gone":
            add()
        else:
            ip(f"link set {NAME} up")
        again = f"multicast {command}: listening again on {NAME} after "
        until(lambda: again in program.err, "the end of the outage")
        with Sender(GROUP, free_port, interface=NAME) as tx:
            tx.send(b"hello")
        program.interrupt()
        assert program.finish() == 130
    assert json.loads(program.out.splitlines()[-1])["received"] == 1
    assert program.err.count(said) == program.err.count(again) == 1
    assert "s without a working interface" in program.err


@pytest.mark.parametrize("outage", OUTAGES)
def test_ping_says_once_that_its_interface_is_away_and_sends_again_when_it_is_back(outage: str) -> None:
    cut, word = OUTAGES[outage]
    endpoint = f"{GROUP}%{NAME}"
    with (
        start("ping", endpoint, "--answer") as responder,
        start("ping", endpoint, "--interval", "0.05") as program,
    ):
        responder.until_joined(GROUP)
        program.line_with("multicast seq=")
        ip(cut)
        until(lambda: "(trying again)\n" in program.err, "a request that is refused")
        if word == "gone":
            add()
        else:
            ip(f"link set {NAME} up")
        until(lambda: "multicast ping: sending again\n" in program.err, "a request that is sent")
        before = len(program.out)
        until(lambda: "multicast seq=" in program.out[before:], "a reply")
        program.interrupt()
        assert program.finish() == 130
    assert program.err.count("(trying again)\n") == program.err.count("sending again\n") == 1
    assert "refused by this machine), 1 host answered\n" in program.err


def test_live_screen_shows_that_the_interface_is_away_until_it_is_back(free_port: int) -> None:
    with OnTerminal(*MULTICAST, "top", f"{GROUP}:{free_port}%{NAME}", "-n", "0.2", columns=80) as program:
        program.until_shown("WAITING")
        ip(f"link set {NAME} down")
        program.until_shown(f"{NAME} away  lost 0")
        ip(f"link set {NAME} up")
        program.until(lambda: program.screen()[1].startswith("lost 0"), "a screen without the outage")
        program.type("q")
        assert program.finish() == 70
