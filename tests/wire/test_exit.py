"""Test that interpreters in an awkward state end with the right exit code, in bounded time, without a message.

`MULTICAST_FULL_LOAD=1` starts 200 in each state. Without it, a few.
"""

import os
import sys

import pytest

from tests.support.programs import Program
from tests.wire.exchange import LOOPBACK

TIMES = 200 if os.environ.get("MULTICAST_FULL_LOAD") == "1" else 2
AT_MOST = 20.0
"""Seconds allowed on a busy machine for an interpreter that takes a tenth of a second."""

BEGIN = """
import asyncio, atexit, gc, os, signal, sys, threading, warnings
import multicast
from multicast import aio
from multicast.sync import Receiver, Sender

group, interface, ring = sys.argv[1], sys.argv[2], eval(sys.argv[3])
place = {"interface": interface}
rx = Receiver(group, 0, ring=ring, **place)
tx = Sender(group, rx.port, **place)
warnings.simplefilter("ignore", DeprecationWarning)

def until_heard():
    # A datagram was received, so the other thread is iterating.
    heard = threading.Event()
    def iterate():
        for msg in rx:
            heard.set()
    threading.Thread(target=iterate, daemon=True).start()
    tx.send(b"x")
    assert heard.wait(10)
"""

STATES = {
    "open": "",
    "open with content": "tx.send_many([bytes(100)] * 500)",
    "closed": "rx.close()",
    "in a cycle": "rx.itself = rx; del rx",
    "iterating in a daemon thread": "until_heard()",
    "iterating in a flood": """
until_heard()
def flood():
    while True:
        tx.send_many([bytes(100)] * 100)
threading.Thread(target=flood, daemon=True).start()
""",
    "waiting in many daemon threads": """
def wait():
    while True:
        try:
            rx.recv_batch(timeout=0.001)
        except TimeoutError:
            pass
for _ in range(8):
    threading.Thread(target=wait, daemon=True).start()
""",
    "receiving at exit": """
tx.send(b"late")
@atexit.register
def last():
    assert rx.recv(timeout=10).data == b"late"
""",
    "pending async receive": """
async def main():
    async_rx = aio.Receiver(group, 0, ring=ring, **place)
    pending = [asyncio.create_task(async_rx.recv()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in pending)
asyncio.run(main())
""",
    "forked while open": """
child = os.fork()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""",
    "forked while iterating": """
until_heard()
child = os.fork()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
else:
    rx = Receiver(group, 0, ring=ring, **place)
    tx = Sender(group, rx.port, **place)
    until_heard()
""",
    "referenced to the end": """
import builtins
builtins.kept = [rx, tx, sys.modules["multicast.sync"]]
builtins.kept.append(builtins.kept)
""",
    "exit in a handler": """
tx.send(b"x")
rx.run(lambda msg: sys.exit(7))
""",
    "interrupted": """
signal.signal(signal.SIGALRM, signal.default_int_handler)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    rx.recv()
except KeyboardInterrupt:
    sys.exit(7)
""",
}
CODES = {"exit in a handler": 7, "interrupted": 7}

pytestmark = [
    pytest.mark.platform("linux", "darwin"),
    pytest.mark.parametrize("ring", [None, 100], ids=["plain", "ring"]),
    pytest.mark.timeout(60 + TIMES * 2),
]


def end(script: str, ring: int | None) -> tuple[int, str, str]:
    argv = [sys.executable, "-c", BEGIN + script, LOOPBACK.group, LOOPBACK.interface, repr(ring)]
    with Program(argv) as program:
        return program.finish(AT_MOST), program.out, program.err


@pytest.mark.parametrize("state", STATES)
def test_interpreter_in_any_state_ends_quietly(state: str, ring: int | None) -> None:
    for _ in range(TIMES):
        assert end(STATES[state], ring) == (CODES.get(state, 0), "", "")


def test_interpreter_handler_exception_is_the_only_traceback(ring: int | None) -> None:
    script = 'tx.send(b"x")\nuntil_heard()\ntx.send(b"x")\nrx2 = Receiver(group, 0, ring=ring, **place)\n'
    script += 'Sender(group, rx2.port, **place).send(b"y")\nrx2.run(lambda msg: 1 / 0, on_error="raise")'
    for _ in range(TIMES):
        code, out, err = end(script, ring)
        assert (code, out) == (1, "")
        assert err.startswith("Traceback (most recent call last):\n")
        assert err.splitlines()[-1].startswith("ZeroDivisionError: ")
        assert err.count("Traceback") == 1
