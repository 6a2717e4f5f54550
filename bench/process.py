"""The parent's side of a contestant: a child process on its own core that answers each command with JSON.

`floor.c` and `worker.py` define the commands, and both answer the same ones.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from typing_extensions import Self

from bench.paths import ROOT

_UDP_TABLES = ("/proc/net/udp", "/proc/net/udp6")


class ChildFailedError(RuntimeError):
    """A contestant ended, was too slow, or sent an answer that cannot be read."""


class Child:
    """A running contestant. Use it as a context manager, which always ends the process.

    Args:
        argv: The command.
        core: The processor to which the child is pinned; None allows all of them.
        patience: Seconds to wait for its first line, which reports that it is ready.
        environment: Variables to set for it.
    """

    def __init__(
        self,
        argv: list[str],
        core: int | None,
        patience: float = 20.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.argv = argv
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            cwd=ROOT,
            env=dict(os.environ) | dict(environment or {}),
        )
        # Both are pipes, as requested above.
        self._commands = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        try:
            if core is not None:
                os.sched_setaffinity(self._process.pid, {core})
            self.ready = self._answer(patience)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, command: str) -> None:
        """Send one command without waiting for the answer."""
        try:
            self._commands.write(f"{command}\n".encode())
        except BrokenPipeError:
            raise self._failure(f"ended before the command `{command}`") from None

    def ask(self, command: str, patience: float = 60.0) -> dict[str, float]:
        """Send one command and return the numbers in its answer, within `patience` seconds."""
        self.tell(command)
        return self._answer(patience)

    def stop(self, patience: float = 10.0) -> dict[str, float]:
        """End a command that runs until it is signalled, and return its numbers."""
        self._process.send_signal(signal.SIGUSR1)
        return self._answer(patience)

    def close(self) -> None:
        """End the process: close its input, and kill it if it does not end."""
        self._commands.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._errors.close()

    def _answer(self, patience: float) -> dict[str, float]:
        deadline, line = time.monotonic() + patience, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise self._failure(f"sent no answer for {patience:g} s")
            more = os.read(self._answers.fileno(), 65536)
            if not more:
                raise self._failure("ended early")
            line += more
        answer: Any = json.loads(line)
        if not isinstance(answer, dict):
            raise self._failure(f"sent the answer {line!r}")
        return cast("dict[str, float]", answer)

    def _failure(self, what: str) -> ChildFailedError:
        """Return an error with the child's exit code (negative: the signal that ended it) and its last message."""
        try:
            what += f" with exit code {self._process.wait(1)}"
        except subprocess.TimeoutExpired:
            what += " and is still running"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="backslashreplace").strip().splitlines()[-1:]
        return ChildFailedError(f"{what}: {said[0] if said else 'no error output'}")


def options(values: Mapping[str, object]) -> list[str]:
    """Return `values` as the `key=value` arguments that `floor.c` and `worker.py` read."""
    return [f"{key}={value}" for key, value in values.items()]


def queues(port: int) -> tuple[int, int]:
    """Return the sums over the sockets bound to `port`: (bytes queued, buffers dropped)."""
    queued = dropped = 0
    for table in _UDP_TABLES:
        path = Path(table)
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                queued += int(fields[4].partition(":")[2], 16)
                dropped += int(fields[12])
    return queued, dropped


def await_empty(port: int, patience: float = 10.0) -> None:
    """Return when the receive queues of `port` are empty, or after `patience` seconds.

    The kernel has no event for the queue of another process, so this polls slowly.
    """
    deadline = time.monotonic() + patience
    while queues(port)[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    # Time for the contestant to count what it has read.
    time.sleep(0.1)
