"""Run every command and every Python example of docs/faq.md unchanged.

A block without a scenario fails, so the FAQ contains nothing untested.
"""

import contextlib
import multiprocessing
import queue
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.support import machines
from tests.support.hosts import Machine
from tests.support.markdown import Block, runnable_blocks
from tests.support.private_network import ROOT
from tests.support.programs import Program, argv_for, environment
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP = "224.0.0.1"
PORT = 59595
# Seconds that a build of the documentation may take on a busy machine.
BUILD = 200.0
STOP = b"Default listener only knows: STOP"
BLOCKS = runnable_blocks(ROOT / "docs" / "faq.md")
NAMED = {block.options.get("name"): block for block in BLOCKS}

Scenario = Callable[[Block, str, Path], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Register the decorated function as the runner of the block of that name."""

    def register(function: Scenario) -> Scenario:
        SCENARIOS[name] = function
        return function

    return register


def start(block: Block) -> Program:
    return Program(argv_for(block.language, block.code))


def start_by(method: str, code: str, folder: Path, name: str) -> Program:
    """Start a Python block that creates processes, with the given start method of multiprocessing."""
    script = folder / f"{name}.py"
    script.write_text(code, encoding="utf-8")
    return Program([sys.executable, "-m", "tests.support.block_runner", method, str(script)])


def run(block: Block) -> Program:
    """Run a block and assert that it exits with 0."""
    with start(block) as program:
        code = program.finish(timeout=BUILD)
    assert code == 0, program.err
    return program


def say(text: bytes, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, (GROUP, port))


@contextlib.contextmanager
def listening(port: int = PORT) -> Generator[socket.socket, None, None]:
    """Open a plain socket of the standard library that has joined the group."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((GROUP, port))
        receiver.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            struct.pack("=4s4s", socket.inet_aton(GROUP), bytes(4)),
        )
        receiver.settimeout(10)
        yield receiver


@scenario("import")
def run_import(block: Block, method: str, folder: Path) -> None:
    program = run(block)
    assert (program.out, program.err) == ("", "")


@scenario("help")
def run_help(block: Block, method: str, folder: Path) -> None:
    program = run(block)
    for word in ("SAY", "RECV", "HEAR", "--use-std", "--daemon"):
        assert word in program.out


@scenario("hear")
def run_hear(block: Block, method: str, folder: Path) -> None:
    with start(block) as listener:
        assert listener.until_bound() == PORT
        run(NAMED["say"])
        assert listener.line_with("Hello World!") == "Hello World!\n"
        say(STOP, PORT)
        assert listener.finish() == 0, listener.err


@scenario("recv-loop")
def run_recv_loop(block: Block, method: str, folder: Path) -> None:
    with Program(argv_for(block.language, block.code), terminal=True) as loop:
        for text in ("one", "two"):
            loop.until_bound(PORT)
            heard = False
            while not heard:
                # Nothing listens between two rounds of the loop, so a message may be missed.
                say(text.encode(), PORT)
                with contextlib.suppress(queue.Empty):
                    heard = loop.line(timeout=0.2) == f"{text}\n"
        loop.until_bound(PORT)
        loop.press_ctrl_c()
        assert loop.finish(timeout=5) in (130, -signal.SIGINT), loop.err


@scenario("say-api")
def run_say_api(block: Block, method: str, folder: Path) -> None:
    with listening() as receiver:
        run(block)
        assert receiver.recv(100) == b"Hello, Multicast!"


@scenario("say")
def run_say(block: Block, method: str, folder: Path) -> None:
    with listening() as receiver:
        run(block)
        assert receiver.recv(100) == b"Hello World!"


@scenario("listener")
def run_listener(block: Block, method: str, folder: Path) -> None:
    with start_by(method, block.code, folder, "listener") as hearing:
        port = hearing.until_bound()
        code = NAMED["sender"].code.replace(f"int({PORT})", f"int({port})")
        with start_by(method, code, folder, "sender") as sending:
            assert sending.finish() == 0, sending.err
            assert "DIDWORK True" in sending.out
        assert hearing.finish() == 0, hearing.err


@scenario("handler")
def run_handler(block: Block, method: str, folder: Path) -> None:
    with start(block) as receiving:
        port = receiving.until_bound()
        while receiving.running:
            # Nothing listens between two attempts of the example, so a message may be missed.
            say(b"to the handler", port)
            with contextlib.suppress(queue.Empty):
                receiving.line(timeout=0.2)
        assert receiving.finish() == 0, receiving.err
        assert receiving.out == "to the handler\n"


@scenario("sender")
def run_sender(block: Block, method: str, folder: Path) -> None:
    with listening() as receiver, start_by(method, block.code, folder, "sender") as sending:
        assert sending.finish() == 0, sending.err
        assert "DIDWORK True" in sending.out
        assert receiver.recv(100) == STOP


@scenario("logging")
def run_logging(block: Block, method: str, folder: Path) -> None:
    use = f"""
import multicast
multicast.recv.McastRECV()(groups=["{GROUP}"], group="{GROUP}", port={PORT}, timeout=20)
"""
    with Program([sys.executable, "-c", block.code + use]) as receiving:
        receiving.until_bound(PORT)
        say(b"to be logged", PORT)
        assert receiving.finish() == 0, receiving.err
        assert "Success" in receiving.err


@scenario("build-docs")
def run_build_docs(block: Block, method: str, folder: Path) -> None:
    run(block)
    page = ROOT / "docs" / "_build" / "html" / "faq.html"
    assert "/stable/" in page.read_text(encoding="utf-8")


@scenario("build-docs-ref")
def run_build_docs_ref(block: Block, method: str, folder: Path) -> None:
    run(block)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    page = ROOT / "docs" / "_build" / "html" / "faq.html"
    assert f"/{commit.stdout.strip()}/" in page.read_text(encoding="utf-8")


def methods(block: Block) -> list[str]:
    """Return the start methods to try with a block, or one empty string if it starts no process."""
    return multiprocessing.get_all_start_methods() if "multiprocessing" in block.code else [""]


def on_machines(block: Block) -> list[str]:
    """Return the kinds of machines to try a block on. A build of the documentation needs no network."""
    if block.options["name"].startswith("build-docs"):
        return [machines.ORDINARY]
    return [machines.ORDINARY, machines.DEFAULT_ROUTE]


CASES = [
    (block, method, kind) for block in BLOCKS for method in methods(block) for kind in on_machines(block)
]


@pytest.mark.timeout(BUILD + 10)
@pytest.mark.parametrize(("block", "method", "machine"), CASES, ids=str, indirect=["machine"])
def test_faq_block_works_unchanged(block: Block, method: str, machine: Machine, tmp_path: Path) -> None:
    # Processes that this thread starts run on the machine, too.
    with on(machine):
        SCENARIOS[block.options["name"]](block, method, tmp_path)


def test_faq_scenario_has_a_block() -> None:
    assert set(SCENARIOS) == set(NAMED)
