"""The threads in which a server serves, and how they are ended, even by handlers in forked processes."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Service:
    """The serving threads of one server in this process.

    Attributes:
        process: the process that these threads belong to.
        is_ending: whether the threads must return. The last one that does resets it.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.is_ending = False
        self._threads: list[int] = []
        self._changed = threading.Condition()
        # A forked process has a copy of the server. It writes to this pipe to end the serving of its parent.
        self._pipe: tuple[int, int] | None = None

    @contextlib.contextmanager
    def thread(self) -> Generator[None, None, None]:
        """Count the calling thread as a serving thread while the block runs."""
        me = threading.get_ident()
        with self._changed:
            if self._pipe is None and hasattr(os, "fork"):
                self._pipe = os.pipe()
            self._threads.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._threads.remove(me)
                if not self._threads:
                    self.is_ending = False
                    self._close_pipe()
                self._changed.notify_all()

    @property
    def stop_descriptor(self) -> int | None:
        """The descriptor that is readable when a forked process has requested the end; None if nothing serves."""
        return None if self._pipe is None else self._pipe[0]

    def end(self) -> None:
        """Make all serving threads return, or the next one if there is none, and wait for it.

        A serving thread that calls it does not wait, nor does a forked process, whose parent serves.
        """
        if self._pipe is not None and self.process != os.getpid():
            os.write(self._pipe[1], b"\0")
            return
        with self._changed:
            self.is_ending = True
            if threading.get_ident() not in self._threads:
                self._changed.wait_for(lambda: not self._threads)

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            for descriptor in self._pipe:
                os.close(descriptor)
            self._pipe = None
