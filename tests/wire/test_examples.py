"""Run the examples as programs on the loopback interface. ``test_aio_examples`` runs those for event loops."""

import ast
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

import multicast
from tests.support import machines, waiting
from tests.support.hosts import Machine
from tests.support.private_network import ROOT
from tests.support.programs import Program
from tests.wire.exchange import LOOPBACK, PATIENCE

# They end as at a terminal, by a signal to their session.
pytestmark = pytest.mark.platform("linux", "darwin")

EXAMPLES = ROOT / "examples"
RECORD = struct.Struct("!Qd")


def example(name: str, *arguments: str) -> Program:
    command = [sys.executable, os.fspath(EXAMPLES / f"{name}.py"), *arguments]
    return Program([*command, "--interface", LOOPBACK.interface])


@pytest.fixture
def group_port(free_port: int) -> str:
    """Return an endpoint that only this test uses."""
    return f"{LOOPBACK.group}:{free_port}"


@pytest.fixture
def tx(free_port: int) -> Iterator[multicast.Sender]:
    with LOOPBACK.sender(free_port) as sender:
        yield sender


def publish(group_port: str, *options: str) -> None:
    with example("publisher", group_port, *options) as publisher:
        assert publisher.finish() == 0, publisher.err


def test_subscriber_example_prints_what_the_publisher_sends(group_port: str) -> None:
    with example("subscriber", group_port, "--count", "5") as subscriber:
        subscriber.line_with("listening")
        publish(group_port, "--count", "5", "--rate", "1000")
        assert subscriber.finish() == 0, subscriber.err
    prices = re.findall(r"^127\.0\.0\.1 #(\d+) (\d+\.\d\d)$", subscriber.out, re.MULTILINE)
    assert [int(number) for number, _ in prices] == [0, 1, 2, 3, 4]
    assert prices[0][1] == "100.00"


def test_subscriber_example_bad_datagram_and_ctrl_c_are_handled(
    group_port: str, tx: multicast.Sender
) -> None:
    with example("subscriber", group_port) as subscriber:
        subscriber.line_with("listening")
        tx.send(b"what?")
        subscriber.line_with("5 bytes, not a price")
        subscriber.interrupt()
        assert subscriber.finish() == 0
        assert subscriber.out.endswith("stopped\n")
        assert subscriber.err == ""


def test_publisher_example_leave_out_skips_messages(group_port: str, free_port: int) -> None:
    with LOOPBACK.receiver(free_port) as rx:
        publish(group_port, "--count", "20", "--rate", "10000", "--leave-out", "10")
        numbers = [RECORD.unpack(rx.recv(PATIENCE).data)[0] for _ in range(18)]
    assert numbers == [number for number in range(20) if number not in (9, 19)]


def test_numpy_batch_example_sums_the_records(group_port: str, tx: multicast.Sender) -> None:
    with example("numpy_batch", group_port, "--count", "1000") as summing:
        summing.line_with("listening")
        tx.send(b"no record")
        tx.send_many(RECORD.pack(number, float(number)) for number in range(1000))
        assert summing.finish() == 0, summing.err
    assert "1000 in total, from 0.00 to 999.00" in summing.out


def test_discover_example_finds_the_programs_that_answer(group_port: str) -> None:
    with example("discover", group_port, "--answer", "kitchen") as answering:
        answering.line_with("answering")
        with example("discover", group_port, "--timeout", "0.5") as asking:
            assert asking.finish() == 0, asking.err
        answering.interrupt()
        assert answering.finish() == 0, answering.err
    assert asking.out == "kitchen at 127.0.0.1\n1 found\n"
    assert answering.out.endswith("stopped\n")


def test_threads_example_shares_the_datagrams(group_port: str, tx: multicast.Sender) -> None:
    with example("threads", group_port, "--threads", "3") as sharing:
        sharing.line_with("listening")
        tx.send_many([b"job"] * 300)
        for _ in range(300):
            sharing.line_with("3 bytes")
        sharing.interrupt()
        assert sharing.finish() == 0, sharing.err
    found = re.search(r"^(\d+) handled, by thread: \[(\d+), (\d+), (\d+)\]$", sharing.out, re.MULTILINE)
    assert found
    total, *each = map(int, found.groups())
    assert total == sum(each) == 300


def test_handler_example_answers_a_question(free_port: int) -> None:
    arguments = [LOOPBACK.group, "--port", str(free_port)]
    with example("handler", *arguments) as serving, socket.socket(type=socket.SOCK_DGRAM) as asking:
        serving.line_with("serving")
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK.interface))
        asking.settimeout(PATIENCE)
        asking.sendto(b"hello, STOP", (LOOPBACK.group, free_port))
        assert serving.line_with("hello") == "127.0.0.1 hello, STOP\n"
        asking.sendto(b"what time is it", (LOOPBACK.group, free_port))
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", asking.recv(100))
        serving.interrupt()
        assert serving.finish() == 0
        assert serving.err == ""


SUMMARY = re.compile(
    r"(\d+) received, (\d+) missing: (\d+) dropped here, (\d+) lost in the network; (\d+) late or duplicate"
)


def watched(watching: Program, number: int) -> list[int]:
    """Interrupt the detector after it reports the gap before ``number``. Return the numbers of its summary.

    The numbers are: received, missing, dropped here, lost on the way, late or twice.
    """
    watching.line_with(f"missing before #{number}")
    watching.interrupt()
    assert watching.finish() == 0, watching.err
    found = SUMMARY.search(watching.out)
    assert found, watching.out
    return [int(count) for count in found.groups()]


def test_gap_detector_example_reports_gaps_of_the_network(group_port: str, tx: multicast.Sender) -> None:
    with example("gap_detector", group_port) as watching:
        watching.line_with("watching")
        publish(group_port, "--count", "1000", "--rate", "20000", "--leave-out", "100")
        # Another feed, whose gap shows that everything before it has been received.
        tx.send_many([RECORD.pack(7, 0.0), RECORD.pack(6, 0.0), RECORD.pack(1_000_000, 0.0)])
        received, missing, here, on_the_way, late = watched(watching, 1_000_000)
    assert "1 missing before #100\n" in watching.out
    # Nobody can see that the very last one was left out too.
    others = 1_000_000 - 8
    assert (received, missing) == (990 + 3, 9 + others)
    assert (here, on_the_way, late) == (0, 9 + others, 1)


@pytest.mark.platform("linux")
def test_gap_detector_example_separates_drops_of_this_machine(group_port: str, tx: multicast.Sender) -> None:
    numbers = [number for number in range(20_000) if number % 1000 != 500]
    with example("gap_detector", group_port, "--recv-buffer", "4096") as watching:
        watching.line_with("watching")
        tx.send(RECORD.pack(0, 0.0))
        waiting.until_read(tx.port)
        tx.send_many(RECORD.pack(number, 0.0) for number in numbers[1:])
        waiting.until_read(tx.port)
        # After another gap, so that there is a line to wait for.
        tx.send(RECORD.pack(20_001, 0.0))
        received, missing, here, on_the_way, late = watched(watching, 20_001)
    assert here > 0
    assert (on_the_way, late) == (21, 0)
    assert received + missing == 20_002


def test_gap_detector_example_timeout_ends_it(group_port: str) -> None:
    with example("gap_detector", group_port, "--timeout", "0.1") as watching:
        assert watching.finish() == 0, watching.err
        assert SUMMARY.search(watching.out)


def docstring_commands() -> list[str]:
    """Return every command line in the docstrings of the examples."""
    found: list[str] = []
    for path in sorted(EXAMPLES.glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        own = [line.strip() for line in text.splitlines() if line.startswith("    python3 ")]
        assert own, f"{path.name} does not say how to run it"
        found += own
    return found


# Before Python 3.11, anyio on asyncio ends a program at Ctrl-C with the traceback of a CancelledError.
BAD_ENDS: set[str] = {"python3 examples/anyio_listen.py"} if sys.version_info < (3, 11) else set()


def commands_on_machines() -> list[tuple[str, str]]:
    """Return each command with the kinds of machines on which it must work: without eth0, the loopback address does."""
    return [
        (command, kind)
        for command in docstring_commands()
        for kind in machines.KINDS
        if "eth0" not in command or kind != machines.NO_ROUTE
    ]


@pytest.mark.platform("linux")
@pytest.mark.private_net
@pytest.mark.parametrize(("command", "machine"), commands_on_machines(), indirect=["machine"])
def test_example_docstring_command_works_unchanged(command: str, machine: Machine) -> None:
    with Program(machine.command("bash", "-c", f"exec {command}")) as program:
        if " SAY " not in command:
            program.until_bound()
            program.interrupt()
        assert program.finish() == 0 or command in BAD_ENDS, program.err
        assert program.err == "" or command in BAD_ENDS
