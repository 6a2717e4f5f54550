"""The hosts h1, h2 ... on the bridge of the private network, and how to run commands on them."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest


class Machine:
    """A machine of the private network, which is a network namespace."""

    @property
    def name(self) -> str:
        """The name of its network namespace."""
        raise NotImplementedError

    def command(self, *argv: str) -> list[str]:
        """Return the command line that runs ``argv`` on this machine."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, timeout: float = 20.0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` on this machine, wait until it ends, and return its output. ``timeout`` is in seconds."""
        settings: dict[str, Any] = {"capture_output": True, "text": True, **options}
        run = cast("Callable[..., subprocess.CompletedProcess[str]]", subprocess.run)
        return run(self.command(*argv), check=False, timeout=timeout, **settings)

    def popen(self, *argv: str, **options: Any) -> "subprocess.Popen[str]":
        """Start ``argv`` on this machine with its output in pipes, as text. The caller waits for it."""
        settings: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        }
        return subprocess.Popen(self.command(*argv), **settings)


@dataclass(frozen=True)
class Host(Machine):
    """A host on the bridge. ``number`` starts at 1."""

    number: int
    interface: str = "eth0"

    @property
    def name(self) -> str:
        return f"h{self.number}"

    @property
    def ipv4(self) -> str:
        return f"10.77.0.{self.number}"

    @property
    def ipv6(self) -> str:
        return f"fd77::{self.number}"


def available() -> list[Host]:
    """Return the hosts of this run, or skip the calling test if there are none."""
    count = int(os.environ.get("MULTICAST_HOSTS", "0"))
    if count < 2:
        pytest.skip("needs hosts on a bridge, which this system does not allow")
    return [Host(number) for number in range(1, count + 1)]
