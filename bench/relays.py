"""Delay and rate of relays beside a tunnel of socat.

    bash scripts/dev/netns.sh --hosts 3 .venv/bin/python -m bench.relays

Each path begins with a group that host h3 sends to, and ends with another group that host h2 receives. In between, h1
passes the datagrams on to h2 over unicast UDP, or over a NATS server on h3.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.guard import require_private_namespace

FROM, TO, PORT, TUNNEL = "239.7.7.1", "239.7.7.2", 5000, 7000
SIZE = 100
DELAY_RATE, DELAY_COUNT = 1000, 3000
RATES = (5_000, 10_000, 20_000, 40_000, 80_000)
ENOUGH = 0.999
"""The share that must arrive for a rate to count."""

RELAY = (sys.executable, "-m", "multicast", "relay", "-q")
BEGIN, END = f"{FROM}:{PORT}%eth0", f"{TO}:{PORT}%eth0"
NATS = "nats://10.77.0.3:4222/bench"
IN, OUT = f"UDP4-RECV:{PORT},ip-add-membership={FROM}:10.77.0.1", f"UDP4-DATAGRAM:10.77.0.2:{TUNNEL}"
FAR_IN, FAR_OUT = f"UDP4-RECV:{TUNNEL}", f"UDP4-DATAGRAM:{TO}:{PORT},ip-multicast-if=10.77.0.2"

# For each path, the programs of the hosts.
PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "no relay": {},
    "socat": {
        "h1": ("socat", "-u", "-b65536", IN, OUT),
        "h2": ("socat", "-u", "-b65536", FAR_IN, FAR_OUT),
    },
    "multicast, UDP": {
        "h1": (*RELAY, BEGIN, "--to", f"udp://10.77.0.2:{TUNNEL}"),
        "h2": (*RELAY, f"udp://0.0.0.0:{TUNNEL}", "--to", END),
    },
    "multicast, NATS": {
        "h1": (*RELAY, BEGIN, "--to", NATS),
        "h2": (*RELAY, NATS, "--to", END),
        "h3": ("nats-server", "-a", "10.77.0.3"),
    },
}


def send(group: str, rate: int, count: int) -> None:
    """Send datagrams that begin with the time, without bursts."""
    from multicast import Sender

    padding = bytes(SIZE - 8)
    with Sender(group, PORT, interface="eth0") as tx:
        begun = time.monotonic()
        for number in range(count):
            pause = begun + number / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            tx.send(time.time_ns().to_bytes(8, "big") + padding)


def receive() -> None:
    """Receive until a second has passed without a datagram, and print what arrived as JSON."""
    from multicast import Receiver

    delays: list[float] = []
    with Receiver(TO, PORT, interface="eth0", ring=1 << 18, gro=False) as rx:
        print("ready", flush=True)
        patience = 5.0
        while True:
            try:
                batch = rx.recv_batch(4096, timeout=patience)
            except TimeoutError:
                break
            patience = 1.0
            delays += [((one.timestamp_ns or 0) - int.from_bytes(one.data[:8], "big")) / 1e3 for one in batch]
    few = sorted(delays) or [0.0]
    last = few[min(len(few) - 1, len(few) * 99 // 100)]
    print(json.dumps({"received": len(delays), "p50": statistics.median(few), "p99": last}))


def on(host: str, *words: str) -> list[str]:
    """Return the command line that runs a program on a host, which is a private namespace as well."""
    promise = 'MULTICAST_NETNS=$(readlink /proc/self/ns/net) exec "$@"'
    return ["ip", "netns", "exec", host, "sh", "-c", promise, "sh", *words]


@contextmanager
def running(programs: dict[str, tuple[str, ...]]) -> Generator[None, None, None]:
    """Run the programs of a path for the block."""
    folders = [os.fspath(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = {**os.environ, "PATH": os.pathsep.join(folders)}
    started = [
        subprocess.Popen(on(host, *words), env=environment, stderr=subprocess.DEVNULL)
        for host, words in programs.items()
    ]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def run(path: str, rate: int, count: int) -> dict[str, float]:
    """Send through a path, and return what arrived."""
    this = (sys.executable, "-m", "bench.relays")
    group = FROM if PATHS[path] else TO
    with subprocess.Popen(on("h2", *this, "receive"), stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        subprocess.run(on("h3", *this, "send", group, str(rate), str(count)), check=True)
        found: dict[str, float] = json.loads(receiver.stdout.readline())
        return found


def measure(path: str, delay_count: int, rates: Sequence[int]) -> str:
    """Return a row of the table."""
    with running(PATHS[path]):
        for _ in range(10):
            if run(path, 100, 20)["received"] == 20:
                break
        else:
            return f"{path:16} carries nothing"
        delays = run(path, DELAY_RATE, delay_count)
        best = 0
        for rate in rates:
            if run(path, rate, rate)["received"] < ENOUGH * rate:
                break
            best = rate
    return f"{path:16} {delays['p50']:9.0f} {delays['p99']:9.0f} {best:16,}"


def main() -> None:
    """Measure each path, or run one end of a measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.relays", description=__doc__)
    parser.add_argument("--path", action="append", choices=PATHS, help="measure only this path")
    parser.add_argument("--quick", action="store_true", help="send a few datagrams, to see whether it works")
    ends = parser.add_subparsers(dest="end")
    sender = ends.add_parser("send")
    sender.add_argument("group")
    sender.add_argument("rate", type=int)
    sender.add_argument("count", type=int)
    ends.add_parser("receive")
    arguments = parser.parse_args()
    require_private_namespace()
    if arguments.end == "send":
        send(arguments.group, arguments.rate, arguments.count)
    elif arguments.end == "receive":
        receive()
    else:
        print(f"{'path':16} {'p50 (us)':>9} {'p99 (us)':>9} {'rate (1/s)':>16}")
        count, rates = (100, RATES[:1]) if arguments.quick else (DELAY_COUNT, RATES)
        for path in arguments.path or PATHS:
            if path == "socat" and shutil.which("socat") is None:
                print(f"{path:16} is not installed")
                continue
            print(measure(path, count, rates), flush=True)


if __name__ == "__main__":
    main()
