"""Test the commands against other programs, on one machine and between two hosts on a bridge."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import GROUP, MULTICAST
from tests.support import waiting
from tests.support.hosts import Host, available
from tests.support.programs import Program, environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

Tool = Callable[[str], str]


@dataclass(frozen=True)
class Ends:
    """The places where two programs run, their addresses, and the interface between them."""

    here: Callable[..., list[str]]
    there: Callable[..., list[str]]
    here_at: str
    there_at: str
    watched: str


def on_this_machine(*argv: str) -> list[str]:
    return list(argv)


@pytest.fixture(params=["one machine", "two hosts"])
def ends(request: pytest.FixtureRequest) -> Ends:
    if request.param == "one machine":
        return Ends(on_this_machine, on_this_machine, "127.0.0.1", "127.0.0.1", "lo")
    one: Host
    other: Host
    one, other, *_ = available()
    return Ends(one.command, other.command, one.ipv4, other.ipv4, "br0")


@pytest.fixture
def message(tmp_path: Path) -> str:
    """A file with the message that socat sends."""
    path = tmp_path / "message"
    path.write_bytes(b"said by \xff socat")
    return os.fspath(path)


def until_heard(say: list[str], listener: Program, text: str) -> None:
    """Send again until ``listener`` prints ``text``: it takes a moment to join."""

    def heard() -> bool:
        with Program(say) as program:
            assert program.finish() == 0, program.err
        return text in listener.out

    waiting.until(heard, f"{text!r}; it printed {listener.out} {listener.err}")


def test_socat_message_is_printed_by_hear(tool: Tool, ends: Ends, message: str, free_port: int) -> None:
    at = ["--port", str(free_port), "--group", GROUP, "--iface", ends.here_at]
    target = f"UDP4-DATAGRAM:{GROUP}:{free_port},ip-multicast-if={ends.there_at}"
    with Program(ends.here(*MULTICAST, "--daemon", "--use-std", "HEAR", *at)) as listener:
        until_heard(
            ends.there(tool("socat"), "-u", f"OPEN:{message}", target), listener, "said by \\xff socat\n"
        )


def test_say_message_is_received_by_socat(tool: Tool, ends: Ends, free_port: int) -> None:
    source = f"UDP4-RECV:{free_port},reuseaddr,ip-add-membership={GROUP}:{ends.there_at}"
    say = [*MULTICAST, "SAY", "--port", str(free_port), "--group", GROUP, "--iface", ends.here_at]
    with Program(ends.there(tool("socat"), "-u", source, "STDOUT")) as listener:
        until_heard(ends.here(*say, "-m", "said by us\n"), listener, "said by us\n")


# SAY sends seven packets of a transport stream in each datagram.
STREAM = b"".join(b"G" + bytes([number]) * 1315 for number in range(30))


def test_say_piped_stream_is_recorded_by_multicat(
    tool: Tool, ends: Ends, tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "stream").write_bytes(STREAM)
    recorder = ends.there(
        tool("multicat"), "-u", f"@{GROUP}:{free_port}/ifaddr={ends.there_at}", f"{tmp_path}/heard.ts"
    )
    say = [*MULTICAST, "SAY", "--port", str(free_port), "--group", GROUP, "--iface", ends.here_at, "--pipe"]
    with Program(recorder) as listener:

        def recorded() -> bool:
            with (tmp_path / "stream").open("rb") as stream:
                said = subprocess.run(
                    ends.here(*say), stdin=stream, env=environment(), check=False, timeout=30
                )
            assert said.returncode == 0
            return STREAM in (tmp_path / "heard.ts").read_bytes()

        listener.until_bound(free_port)
        waiting.until(recorded, f"the stream; it printed {listener.err}")


def test_iperf_datagrams_are_received_only_with_their_source(tool: Tool, ends: Ends, free_port: int) -> None:
    at = ["--port", str(free_port), "--group", GROUP, "--iface", ends.here_at]
    iperf = ends.there(
        tool("iperf"), "-u", "-c", GROUP, "-B", ends.there_at, "-p", str(free_port), "-n", "2000", "-l", "200"
    )
    ears = ["--source", ends.there_at], ["--exclude", ends.there_at]
    with (
        Program(ends.here(*MULTICAST, "--use-std", "RECV", *at, *ears[0], "--timeout", "20")) as wanting,
        Program(ends.here(*MULTICAST, "--use-std", "RECV", *at, *ears[1], "--timeout", "3")) as refusing,
    ):
        wanting.until_bound(free_port)
        refusing.until_bound(free_port)

        def heard() -> bool:
            with Program(iperf) as program:
                assert program.finish() == 0, program.err
            return bool(wanting.out)

        waiting.until(heard, f"a datagram; it printed {wanting.err}")
        assert (wanting.finish(), refusing.finish()) == (0, 70)


def test_say_message_is_printed_by_hear(ends: Ends, free_port: int) -> None:
    where = ["--port", str(free_port), "--group", GROUP]
    hear = [*MULTICAST, "--daemon", "--use-std", "HEAR", *where, "--iface", ends.there_at]
    say = [*MULTICAST, "SAY", *where, "--iface", ends.here_at, "-m"]
    with Program(ends.there(*hear)) as listener:
        until_heard(ends.here(*say, "from here"), listener, "from here\n")
        with Program(ends.here(*say, "STOP")) as stop:
            assert stop.finish() == 0, stop.err
        assert listener.finish() == 0, listener.err


def test_say_ttl_is_seen_by_tshark(tool: Tool, ends: Ends, free_port: int) -> None:
    watch = ["-l", "-n", "-i", ends.watched, "-f", f"udp port {free_port}", "-T", "fields"]
    say = [*MULTICAST, "SAY", "--port", str(free_port), "--group", GROUP, "--iface", ends.here_at]
    with Program([tool("tshark"), *watch, "-e", "ip.ttl", "-e", "ip.dst"]) as tshark:
        until_heard(ends.here(*say, "--ttl", "9", "-m", "x"), tshark, f"9\t{GROUP}\n")
    assert set(tshark.out.splitlines()) == {f"9\t{GROUP}"}


def test_two_listeners_on_one_port_both_receive(ends: Ends, free_port: int) -> None:
    where = ["--port", str(free_port), "--group", GROUP]
    hear = ends.there(*MULTICAST, "--daemon", "--use-std", "HEAR", *where, "--iface", ends.there_at)
    say = ends.here(*MULTICAST, "SAY", *where, "--iface", ends.here_at, "-m", "to both")
    with Program(hear) as one, Program(hear) as other:
        until_heard(say, one, "to both\n")
        until_heard(say, other, "to both\n")
