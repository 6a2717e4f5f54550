"""Delay and rate of relays beside socat and multicast-relay.

    bash scripts/dev/netns.sh --hosts 3 .venv/bin/python -m bench.relays

Host h3 sends to a group on one network, and this namespace receives the group on another. In between, h1 passes the
datagrams on to h2 over unicast UDP, over TCP, or over a NATS server on h3; or h1 has an interface in both networks.

multicast-relay (https://github.com/alsmith/multicast-relay) is a script that needs netifaces. It is measured if
`--multicast-relay "PYTHON SCRIPT"` says how to run it.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.guard import require_private_namespace

GROUP, PORT, TUNNEL = "239.7.7.1", 5000, 7000
SIZE = 100
DELAY_RATE, DELAY_COUNT = 1000, 3000
RATES = (2_000, 5_000, 10_000, 20_000, 40_000, 80_000)
ENOUGH = 0.999
"""The share that must arrive for a rate to count."""

# The networks: name, then each end with its address. The namespace of this process is called `private`.
NETWORKS = {
    "begin": (("h3", "10.78.0.3"), ("h1", "10.78.0.1")),
    "end": (("h2", "10.79.0.2"), ("private", "10.79.0.4")),
    "other": (("h1", "10.80.0.1"), ("private", "10.80.0.4")),
}


@dataclass(frozen=True)
class Route:
    """A path of the group from the sender to the receiver.

    Attributes:
        programs: the programs of the hosts.
        begin: the host that sends, and its interface.
        end: the interface that receives.
        foreign: a program that it needs and that may not be installed, or an empty text.
    """

    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    begin: tuple[str, str] = ("h3", "begin")
    end: str = "end"
    foreign: str = ""


class Found(NamedTuple):
    """The delay of the median and of the slowest 1 %, in microseconds, and the highest rate that arrives."""

    p50: float
    p99: float
    rate: int


RELAY = (sys.executable, "-m", "multicast", "relay", "-q")
IN = f"{GROUP}:{PORT}%begin"
NATS = "nats://10.77.0.3:4222/bench"
SOCAT = ("socat", "-u", "-b65536")
SOCAT_IN = f"UDP4-RECV:{PORT},ip-add-membership={GROUP}:10.78.0.1"
MULTICAST_RELAY = "multicast-relay"
THEIRS = (
    MULTICAST_RELAY,
    *(
        "--foreground",
        "--noMDNS",
        "--noSSDP",
        "--noSonosDiscovery",
        "--relay",
        f"{GROUP}:{PORT}",
        "--interfaces",
    ),
)


def socat_out(address: str) -> str:
    """Return where socat sends to the group, by the interface with this address."""
    return f"UDP4-DATAGRAM:{GROUP}:{PORT},ip-multicast-if={address}"


PATHS = {
    "no relay": Route(begin=("h2", "end")),
    "tunnel: socat": Route(
        {
            "h2": (*SOCAT, f"UDP4-RECV:{TUNNEL}", socat_out("10.79.0.2")),
            "h1": (*SOCAT, SOCAT_IN, f"UDP4-DATAGRAM:10.77.0.2:{TUNNEL}"),
        },
        foreign="socat",
    ),
    "tunnel: multicast-relay": Route(
        {
            "h2": (*THEIRS, "end", "--listen", "10.77.0.1"),
            "h1": (*THEIRS, "begin", "--remote", "10.77.0.2"),
        },
        foreign=MULTICAST_RELAY,
    ),
    "tunnel: multicast, UDP": Route(
        {
            "h2": (*RELAY, f"udp://0.0.0.0:{TUNNEL}", "--to", "original%end"),
            "h1": (*RELAY, IN, "--to", f"udp://10.77.0.2:{TUNNEL}"),
        }
    ),
    "tunnel: multicast, NATS": Route(
        {
            "h3": ("nats-server", "-a", "10.77.0.3"),
            "h2": (*RELAY, NATS, "--to", "original%end"),
            "h1": (*RELAY, IN, "--to", NATS),
        }
    ),
    "one host: socat": Route(
        {"h1": (*SOCAT, SOCAT_IN, socat_out("10.80.0.1"))}, end="other", foreign="socat"
    ),
    "one host: multicast-relay": Route(
        {"h1": (*THEIRS, "begin", "other")}, end="other", foreign=MULTICAST_RELAY
    ),
    "one host: multicast": Route({"h1": (*RELAY, IN, "--to", "original%other")}, end="other"),
}


@contextmanager
def networks() -> Generator[None, None, None]:
    """Connect the hosts for the block."""
    try:
        for name, ends in NETWORKS.items():
            (first, _), (second, _) = ends
            words = ["netns", first, "type", "veth", "peer", "name", name, "netns", second]
            subprocess.run(["ip", "link", "add", name, *words], check=True)
            for host, address in ends:
                subprocess.run(["ip", "-n", host, "address", "add", f"{address}/24", "dev", name], check=True)
                subprocess.run(["ip", "-n", host, "link", "set", name, "up"], check=True)
        yield
    finally:
        for name, ((host, _), _) in NETWORKS.items():
            subprocess.run(["ip", "-n", host, "link", "delete", name], check=False)


def send(interface: str, rate: int, count: int) -> None:
    """Send datagrams that begin with the time, without bursts."""
    from multicast import Sender

    padding = bytes(SIZE - 8)
    with Sender(GROUP, PORT, interface=interface) as tx:
        begun = time.monotonic()
        for number in range(count):
            pause = begun + number / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            tx.send(time.time_ns().to_bytes(8, "big") + padding)


def receive(interface: str) -> None:
    """Receive until a second has passed without a datagram, and print what arrived as JSON."""
    from multicast import Receiver

    delays: list[float] = []
    with Receiver(GROUP, PORT, interface=interface, ring=1 << 18, gro=False) as rx:
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
def running(programs: Mapping[str, tuple[str, ...]], theirs: Sequence[str]) -> Generator[None, None, None]:
    """Run the programs of a path for the block. ``theirs`` are the words that run multicast-relay."""
    folders = [os.fspath(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = {**os.environ, "PATH": os.pathsep.join(folders)}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for host, (program, *words) in programs.items():
            command = [*(theirs if program == MULTICAST_RELAY else [program]), *words]
            quiet = subprocess.DEVNULL
            started.append(subprocess.Popen(on(host, *command), env=environment, stdout=quiet, stderr=quiet))
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def run(path: Route, rate: int, count: int) -> dict[str, float]:
    """Send over a path, and return what arrived."""
    this = (sys.executable, "-m", "bench.relays")
    host, interface = path.begin
    with subprocess.Popen([*this, "receive", path.end], stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        subprocess.run(on(host, *this, "send", interface, str(rate), str(count)), check=True)
        found: dict[str, float] = json.loads(receiver.stdout.readline())
        return found


def measure(path: Route, theirs: Sequence[str], delay_count: int, rates: Sequence[int]) -> Found | None:
    """Return what was found for a path, or None if it carries nothing."""
    with running(path.programs, theirs):
        for _ in range(10):
            if run(path, 100, 20)["received"] == 20:
                break
        else:
            return None
        delays = run(path, DELAY_RATE, delay_count)
        best = DELAY_RATE if delays["received"] >= ENOUGH * delay_count else 0
        for rate in rates:
            if run(path, rate, rate)["received"] < ENOUGH * rate:
                break
            best = rate
    return Found(delays["p50"], delays["p99"], best)


def compare(chosen: Sequence[str], theirs: Sequence[str], *, rounds: int, quick: bool) -> None:
    """Measure the paths in turn, several times, and print the medians."""
    rows: dict[str, list[Found]] = {name: [] for name in chosen}
    count, rates = (100, RATES[:1]) if quick else (DELAY_COUNT, RATES)
    with networks():
        for _ in range(rounds):
            for name in chosen:
                found = measure(PATHS[name], theirs, count, rates)
                if found is not None:
                    rows[name].append(found)
    print(f"{'path':26} {'p50 (us)':>9} {'p99 (us)':>9} {'rate (1/s)':>11}   rates of the rounds")
    for name, row in rows.items():
        if len(row) < rounds:
            print(f"{name:26} carried nothing in {rounds - len(row)} of {rounds} rounds")
        if row:
            p50 = statistics.median(one.p50 for one in row)
            p99 = statistics.median(one.p99 for one in row)
            best = statistics.median_low(one.rate for one in row)
            each = " ".join(f"{one.rate:,}" for one in row)
            print(f"{name:26} {p50:9.0f} {p99:9.0f} {best:11,}   {each}")


def main() -> None:
    """Compare the paths, or run one end of a measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.relays", description=__doc__)
    parser.add_argument("--path", action="append", choices=PATHS, help="measure only this path")
    parser.add_argument("--rounds", type=int, default=3, help="how often each path is measured, in turn")
    parser.add_argument("--quick", action="store_true", help="send a few datagrams, to see whether it works")
    parser.add_argument(
        "--multicast-relay", type=shlex.split, default=[], metavar="COMMAND", help="how to run it"
    )
    ends = parser.add_subparsers(dest="end")
    sender = ends.add_parser("send")
    sender.add_argument("interface")
    sender.add_argument("rate", type=int)
    sender.add_argument("count", type=int)
    ends.add_parser("receive").add_argument("interface")
    arguments = parser.parse_args()
    require_private_namespace()
    if arguments.end == "send":
        send(arguments.interface, arguments.rate, arguments.count)
    elif arguments.end == "receive":
        receive(arguments.interface)
    else:
        there = {
            "": True,
            "socat": shutil.which("socat") is not None,
            MULTICAST_RELAY: bool(arguments.multicast_relay),
        }
        wanted = arguments.path or PATHS
        chosen = [name for name in wanted if there[PATHS[name].foreign]]
        for name in wanted:
            if name not in chosen:
                print(f"{name:26} is not installed")
        compare(chosen, arguments.multicast_relay, rounds=arguments.rounds, quick=arguments.quick)


if __name__ == "__main__":
    main()
