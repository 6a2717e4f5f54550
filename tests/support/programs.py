"""Run another program, read its output while it runs, interrupt it, and never leave it behind."""

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from typing_extensions import Self

from tests.support import joined, waiting
from tests.support.private_network import ROOT


def environment(**extra: str) -> dict[str, str]:
    """Return an environment in which ``python3`` and ``multicast`` are those under test, plus ``extra``."""
    # A `make` that a test starts must not inherit the settings of the `make` that started the tests.
    ours = ("MAKE", "MFLAGS", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    folders = [os.fspath(Path(sys.executable).parent), kept.get("PATH", os.defpath)]
    return {**kept, "PATH": os.pathsep.join(folders), **extra}


def at_terminal(words: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end with a terminal as its output."""
    return subprocess.run(
        ["script", "-qec", shlex.join(words), "/dev/null"],
        env=environment(TERM="xterm"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


class Program:
    """A running program in a session of its own, so that Ctrl-C reaches it and all its children.

    With ``terminal``, the session has a terminal, where ``press_ctrl_c`` works. Output goes to pipes in any case.
    A context manager that kills what is still running at its end.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        terminal: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._keyboard: int | None = None
        stdin = subprocess.DEVNULL
        if terminal:
            self._keyboard, stdin = os.openpty()
        self._process = subprocess.Popen(
            # `setsid --ctty` makes the session and gives it the terminal that is its standard input.
            ["setsid", "--ctty", *argv] if terminal else argv,
            env=environment() if env is None else dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=not terminal,
            pass_fds=pass_fds,
        )
        if terminal:
            os.close(stdin)
        self._fresh: queue.Queue[str] = queue.Queue()
        self._out: list[str] = []
        self._err: list[str] = []
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._out, self._fresh)),
            threading.Thread(target=self._read, args=(self._process.stderr, self._err, None)),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe: IO[str], kept: list[str], fresh: "queue.Queue[str] | None") -> None:
        with pipe:
            for line in pipe:
                kept.append(line)
                if fresh is not None:
                    fresh.put(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill_all()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        if self._keyboard is not None:
            os.close(self._keyboard)

    def _kill_all(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            # The program and all its children have ended.
            return

    @property
    def out(self) -> str:
        """Return the standard output so far."""
        return "".join(self._out)

    @property
    def err(self) -> str:
        """Return the standard error so far."""
        return "".join(self._err)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def until_bound(self, port: int | None = None, timeout: float = 15.0) -> int:
        """Wait until the program or a child of it has bound a UDP socket. Return the port."""

        def look() -> int | None:
            found = waiting.bound_port(self._process.pid, port)
            # Check this last: the program may have bound its socket and ended since.
            assert found or self.running, "the program has ended"
            return found

        try:
            return waiting.until(look, f"a UDP socket on port {port or 'any'}", timeout)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{error}; it printed:\n{self.out}\n{self.err}") from error

    def wait_channel(self) -> str:
        """Return the function of the kernel that the program waits in. Linux only."""
        return Path(f"/proc/{self._process.pid}/wchan").read_text()

    def until_joined(self, *groups: str, timeout: float = 15.0) -> None:
        """Wait until the program or a child of it has joined each of ``groups``."""
        try:
            joined.until_joined(*groups, pid=self._process.pid, timeout=timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}; it printed:\n{self.out}\n{self.err}") from error

    def line(self, timeout: float = 10.0) -> str:
        """Return the next line of standard output.

        Raises:
            queue.Empty: The program printed no line within ``timeout`` seconds.
        """
        return self._fresh.get(timeout=timeout)

    def line_with(self, text: str, timeout: float = 10.0) -> str:
        """Return the next line of standard output that contains ``text``, and skip those before it."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self.line(max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {text!r}; it printed:\n{self.out}\n{self.err}") from None
            if text in line:
                return line

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal to the program and its children, as Ctrl-C at a terminal does."""
        os.killpg(self._process.pid, number)

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C at the terminal of the program."""
        assert self._keyboard is not None, "the program was started without a terminal"
        os.write(self._keyboard, b"\x03")

    def finish(self, timeout: float = 20.0) -> int:
        """Wait until the program ends. Return its exit code, or the negative number of the signal that ended it."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {timeout:g} s; it printed:\n{self.out}\n{self.err}"
            ) from None
        for reader in self._readers:
            reader.join(timeout)
        return code


def argv_for(language: str, code: str) -> list[str]:
    """Return the command line that runs ``code`` as if it were pasted into a shell or Python."""
    if language == "bash":
        return ["bash", "-c", code]
    return [sys.executable, "-c", code]
