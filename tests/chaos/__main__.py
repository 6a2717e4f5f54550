"""Run chaos for a while: ``make chaos CHAOS_SECONDS=60 CHAOS_SEED=1``, inside the private network.

Each run has a seed of its own and lasts a few seconds. A fault ends the program with exit code 1. It prints the seed,
the steps and, with ``--reduce``, the fewest steps that still show the fault.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.chaos import consumers, network
from tests.chaos.driver import Driver
from tests.chaos.model import FaultError
from tests.chaos.steps import Chooser, Step, read, write
from tests.support import private_network

LENGTH = 25


class Totals:
    """The totals of all runs."""

    def __init__(self) -> None:
        self.runs = self.steps = self.sent = self.received = self.counted = 0
        self.slowest = 0.0

    def add(self, driver: Driver, steps: int) -> None:
        self.runs += 1
        self.steps += steps
        self.sent += driver.sent
        self.received += driver.received
        self.counted += driver.counted
        self.slowest = max(self.slowest, *driver.healing, 0.0)

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.steps} steps: {self.sent} datagrams had to arrive, {self.received} did, "
            f"{self.counted} were counted as dropped, difference {self.sent - self.received - self.counted}; "
            f"slowest healing {self.slowest:.2f} s"
        )


def run(chooser: Chooser, length: int = LENGTH) -> tuple[Driver, list[Step], FaultError | None]:
    """Run with steps that are chosen by chance. Return the driver, the steps done, and the fault if there was one."""
    done: list[Step] = []
    with network.running() as net:
        driver = Driver(net)
        try:
            for step in chooser.steps(driver.model, length):
                done.append(step)
                driver.perform(step)
            driver.end()
        except FaultError as fault:
            return driver, done, fault
        finally:
            driver.abandon()
    return driver, done, None


def replay(steps: list[Step]) -> tuple[Driver, FaultError | None]:
    """Run with given steps."""
    with network.running() as net:
        driver = Driver(net)
        try:
            for step in steps:
                driver.perform(step)
            driver.end()
        except FaultError as fault:
            return driver, fault
        finally:
            driver.abandon()
    return driver, None


def reduce(steps: list[Step], attempts: int = 2) -> list[Step]:
    """Leave out steps as long as a fault remains. Each selection is tried several times, as time plays a part."""
    size = len(steps) // 2
    while size >= 1:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if any(replay(fewer)[1] for _ in range(attempts)):
                steps = fewer
            else:
                start += size
        size //= 2
    return steps


def report(driver: Driver, fault: FaultError, seed: int | None, file: Path, steps: list[Step]) -> None:
    print("\n".join(driver.trace))
    print(f"FAULT: {fault}")
    write(file, steps)
    if seed is not None:
        print(f"reproduce it with: make chaos CHAOS_SEED={seed} CHAOS_RUNS=1")
    print(f"replay the steps with: make chaos CHAOS_ARGS='--replay {file}'")


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on (default: 60)")
    parser.add_argument("--seed", type=int, help="the seed of the first run (default: by the clock)")
    parser.add_argument("--runs", type=int, help="end after so many runs")
    parser.add_argument("--steps", type=int, default=LENGTH, help=f"choices in a run (default: {LENGTH})")
    parser.add_argument("--kinds", nargs="+", choices=consumers.KINDS, help="the receivers (default: all)")
    parser.add_argument(
        "--without",
        nargs="+",
        metavar="NAME",
        help="actions and options to leave out, such as fork and rejoin=",
    )
    parser.add_argument("--versions", nargs="+", type=int, choices=[4, 6], help="IP versions (default: any)")
    parser.add_argument(
        "--engine", choices=["socket", "packet"], default="socket", help="of the receivers (default: socket)"
    )
    parser.add_argument("--reduce", action="store_true", help="find the fewest steps that show a fault")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the steps of a file")
    parser.add_argument(
        "--file", type=Path, default=Path("chaos-steps.json"), help="where to write the steps"
    )
    options = parser.parse_args()
    if not private_network.is_private():
        parser.error("run it inside the private network: make chaos")
    if options.replay:
        steps = read(options.replay)
        driver, fault = replay(steps)
        if fault is None:
            print("no fault")
            return 0
        report(driver, fault, None, options.file, reduce(steps) if options.reduce else steps)
        return 1
    totals = Totals()
    end = time.monotonic() + options.seconds
    seed = options.seed if options.seed is not None else int(time.time())
    while time.monotonic() < end and totals.runs != options.runs:
        driver, steps, fault = run(
            Chooser(seed, options.kinds, options.versions, options.without, options.engine), options.steps
        )
        totals.add(driver, len(steps))
        if fault is not None:
            report(driver, fault, seed, options.file, reduce(steps) if options.reduce else steps)
            print(totals)
            return 1
        seed += 1
    print(totals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
