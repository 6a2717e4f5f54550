"""The parent's end of a contestant: a child process on a core of its own that answers each command in JSON.

What is not here: what the commands mean. `floor.c` and `worker.py` answer the same ones.
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
    """A contestant died, was too slow, or answered nonsense."""


class Child:
    """A running contestant; use as a context manager, which ends the process however the block ends.

    Args:
        argv: the command.
        core: the processor the child is pinned to, or None for all of them.
        patience: seconds to wait for its first line, which says that it is ready.
    """

    def __init__(self, argv: list[str], core: int | None, patience: float = 20.0) -> None:
        self.argv = argv
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0, cwd=ROOT
        )
        # Both are pipes, as asked for above.
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
        """Send one command without waiting for its answer."""
        try:
            self._commands.write(f"{command}\n".encode())
        except BrokenPipeError:
            raise self._failure(f"was gone before `{command}`") from None

    def ask(self, command: str, patience: float = 60.0) -> dict[str, float]:
        """Send one command and return the numbers it answers, within `patience` seconds."""
        self.tell(command)
        return self._answer(patience)

    def stop(self, patience: float = 10.0) -> dict[str, float]:
        """End a command that runs until told, and return its numbers."""
        self._process.send_signal(signal.SIGUSR1)
        return self._answer(patience)

    def close(self) -> None:
        """End the process: politely by end of file, then not."""
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
                raise self._failure(f"said nothing for {patience:g} s")
            more = os.read(self._answers.fileno(), 65536)
            if not more:
                raise self._failure("ended early")
            line += more
        answer: Any = json.loads(line)
        if not isinstance(answer, dict):
            raise self._failure(f"answered {line!r}")
        return answer

    def _failure(self, what: str) -> ChildFailedError:
        """What happened, with the child's exit code (negative: the signal that ended it) and its last words."""
        try:
            what += f" with exit code {self._process.wait(1)}"
        except subprocess.TimeoutExpired:
            what += " and runs still"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="backslashreplace").strip().splitlines()[-1:]
        return ChildFailedError(f"{what}: {said[0] if said else 'no error output'}")


def options(values: Mapping[str, object]) -> list[str]:
    """`key=value` arguments, as `floor.c` and `worker.py` read them."""
    return [f"{key}={value}" for key, value in values.items()]


def queues(port: int) -> tuple[int, int]:
    """What the sockets bound to `port` hold: (bytes queued, buffers dropped), summed over them."""
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
    """Return once nothing waits in the receive queues of `port`, or after `patience` seconds.

    The kernel offers no event for another process's queue, hence a slow poll.
    """
    deadline = time.monotonic() + patience
    while queues(port)[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    # What a contestant has read but not yet counted.
    time.sleep(0.1)
