"""Test what held batches cost: memory, CPU time, and the end of the address space.

Each test runs in a process of its own, whose memory and limits it may change.
"""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

FULL = os.environ.get("MULTICAST_FULL_LOAD") == "1"

START = """
import gc, resource, sys, time
from multicast.sync import Receiver, Sender

def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":"))

def pair(**options):
    rx = Receiver("239.9.8.7", 0, interface="127.0.0.1", **options)
    return rx, Sender("239.9.8.7", rx.port, interface="127.0.0.1", gso=False)

def cpu():
    return time.process_time_ns()
"""


def run(program: str, *arguments: str) -> list[str]:
    """Run a program after ``START``. Return what it prints, in words."""
    done = subprocess.run(
        [sys.executable, "-c", START + program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout.split()


@pytest.mark.parametrize("ring", ["None", "1000"])
@pytest.mark.parametrize("size", ["0", "100", "1400"])
def test_holding_500_batches_of_one_pins_less_than_16_mib(size: str, ring: str) -> None:
    program = """
size, ring = int(sys.argv[1]), eval(sys.argv[2])
rx, tx = pair(ring=ring)
tx.send(bytes(size))
rx.recv(timeout=5)
before = status("VmSize")
held = []
for number in range(500):
    tx.send(bytes([number % 256]) * size)
    held.append(rx.recv_batch(1, timeout=5))
assert [batch.payloads() for batch in held] == [[bytes([number % 256]) * size] for number in range(500)]
print(status("VmSize") - before)
"""
    assert int(run(program, size, ring)[0]) < 16 << 20


@pytest.mark.parametrize("ring", ["None", "10000"])
@pytest.mark.parametrize(("size", "limit"), [("60000", "64"), ("1400", "256"), ("100", "1")])
def test_holding_until_the_address_space_ends_raises_memory_error(size: str, limit: str, ring: str) -> None:
    program = """
size, limit, ring = int(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
rx, tx = pair(ring=ring)
tx.send(b"warm")
rx.recv_batch(limit, timeout=5)
unlimited = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (24 << 20), unlimited[1]))
held = [None] * 200_000
message = bytes(size)
raised = False
try:
    for number in range(len(held)):
        for _ in range(min(limit, 32)):
            tx.send(message)
        held[number] = rx.recv_batch(limit, timeout=5)
except MemoryError:
    raised = True
assert raised, "the limit was not reached"
del held
gc.collect()
resource.setrlimit(resource.RLIMIT_AS, unlimited)
# The receiver works as before. A ring may have an error to report.
while True:
    try:
        rx.recv_batch(1024, timeout=0.1)
    except MemoryError:
        pass
    except TimeoutError:
        break
tx.send(b"after")
assert rx.recv(timeout=5).data == b"after"
print("done")
"""
    assert run(program, size, limit, ring) == ["done"]


@pytest.mark.alone
def test_holding_32_batches_costs_little_more_than_holding_one() -> None:
    program = """
from collections import deque
rx, tx = pair(recv_buffer=64 << 20, gro=False, timestamps=False, receive_ttl=False)
BATCH, COUNT = 256, int(sys.argv[1])

def cost(holding):
    held = deque(maxlen=holding)
    taken = spent = 0
    while taken < COUNT:
        for _ in range(4):
            tx.send_many([bytes(100)] * 4096)
        begin = cpu()
        left = 4 * 4096
        while left:
            batch = rx.recv_batch(BATCH, timeout=5)
            held.append(batch)
            left -= len(batch)
        spent += cpu() - begin
        taken += 4 * 4096
    return spent / taken

cost(1), cost(32)
pairs = [(cost(1), cost(32)) for _ in range(5)]
print(min(one for one, _ in pairs), min(many for _, many in pairs))
"""
    one, many = map(float, run(program, "400000" if FULL else "50000"))
    print(f"holding one batch: {one:.0f} ns a datagram, holding 32: {many:.0f}")
    # Measured 1.0 to 1.1 on an idle machine; the first version had 4 and more.
    assert many <= one * (1.3 if FULL else 2.0)


@pytest.mark.parametrize("reads", ["wait", "poll"])
@pytest.mark.parametrize("ring", ["None", "1000"])
def test_idle_receiver_after_a_burst_of_long_datagrams_gives_memory_back(reads: str, ring: str) -> None:
    program = """
reads, ring = sys.argv[1], eval(sys.argv[2])
rx, tx = pair(recv_buffer=64 << 20, ring=ring, ring_policy="block")
message = bytes(60_000)
tx.send(message)
rx.recv(timeout=5)
before = status("RssAnon")
for _ in range(3):
    for _ in range(128):
        tx.send(message)
    left = 128
    while left:
        left -= len(rx.recv_batch(64, timeout=5))
deadline = time.monotonic() + 10
limit = int(sys.argv[3])
while status("RssAnon") - before > limit and time.monotonic() < deadline:
    try:
        rx.recv(timeout=0.1 if reads == "wait" else 0)
    except TimeoutError:
        pass
print(status("RssAnon") - before)
tx.send(message)
assert rx.recv(timeout=5).data == message
"""
    # The ring's chunks go back to the allocator, which keeps up to 2.1 MB of them. The first version kept 4 to 8 MB.
    limit = (1 if ring == "None" else 3) << 20
    assert int(run(program, reads, ring, str(limit))[0]) <= limit
