"""Test that a finalizer may use a receiver while the garbage collector interrupts one of its calls.

Python 3.10 and 3.11 can run the collector when an object is created, so also in the middle of a call.
"""

import sys

import pytest

from tests.support.programs import Program
from tests.wire.exchange import LOOPBACK

SCRIPT = """
import gc, sys
from multicast.exceptions import ClosedError
from multicast.sync import Receiver, Sender

group, interface, ring, act = sys.argv[1], sys.argv[2], eval(sys.argv[3]), eval(sys.argv[4])
rx = Receiver(group, 0, interface=interface, ring=ring)
tx = Sender(group, rx.port, interface=interface)
acted = 0

class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        global acted
        acted += 1
        try:
            act(rx)
        except (TimeoutError, ClosedError):
            pass

# The names of this sender and group become known, as they are for all but the first datagram.
tx.send(b"0")
rx.recv(timeout=10)
tx.send_many([b"%d" % number for number in range(150)])
kept = []
try:
    for _ in range(60):
        gc.disable()
        Cycle()
        gc.set_threshold(1)
        gc.enable()
        kept.append(rx.recv(timeout=10))
except ClosedError:
    pass
gc.set_threshold(0)
print(acted > 0, all(msg.data.isdigit() for msg in kept))
"""


@pytest.mark.parametrize("ring", [None, 1000])
@pytest.mark.parametrize(
    "act",
    ["lambda rx: rx.recv(timeout=0)", "lambda rx: rx.recv_batch(1, timeout=0)", "lambda rx: rx.close()"],
    ids=["recv", "batch", "close"],
)
def test_finalizer_that_uses_the_receiver_does_not_block(act: str, ring: int | None) -> None:
    argv = [sys.executable, "-c", SCRIPT, LOOPBACK.group, LOOPBACK.interface, repr(ring), act]
    with Program(argv) as program:
        code = program.finish()
        assert (code, program.out, program.err) == (0, "True True\n", "")
