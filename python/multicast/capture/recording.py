"""Record what receivers receive into pcapng files."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _arguments, _core
from .._closing import Closing
from ..exceptions import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from typing import SupportsIndex

    from .. import sync

# Seconds between two looks at the drop counters of a receiver.
_LOOK_INTERVAL = 0.25
_MAX_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """The counters of a recorder.

    ::

        stats = recorder.stats()
        print(f"{stats.written} datagrams in {stats.files} files")
        if stats.over_rate or stats.unwritten:
            print(f"left out: {stats.over_rate}, not written: {stats.unwritten}")
        assert stats.payload_bytes <= stats.file_bytes

    """

    written: int
    """Datagrams in the files, including those that rotation has removed."""
    payload_bytes: int
    """Payload bytes of the datagrams that were recorded."""
    file_bytes: int
    """Bytes of all files, including those that rotation has removed."""
    files: int
    """Files created."""
    over_rate: int
    """Datagrams left out because of ``max_rate``."""
    unwritten: int
    """Datagrams that could not be written because of an error, such as a full disk."""


class Recorder(Closing):
    """Write received batches into a pcapng file.

    ::

        with multicast.Receiver("239.1.2.3:5000") as rx, Recorder("feed.pcapng", rx) as recorder:
            for batch in rx.batches():
                if not recorder.write(batch, rx):
                    break
            print(recorder.stats())

    The core writes the file without the GIL. If you call `write` or `tick`
    at least every half second, received datagrams are in the file after
    half a second at the latest. If the process is killed, the file is
    readable and lacks at most the last half second. The interface
    statistics of the file include the drops of the receivers.

    Args:
        path: The file. With rotation, a number is added before its
            extension: ``feed-00001.pcapng``, or the next number after the
            files that exist. A named pipe needs ``overwrite``. Opening
            it waits for its reader; Ctrl-C interrupts the wait.
        receivers: The receiver that is recorded, or several.
        comment: A comment for the file.
        overwrite: Whether to replace files that exist. With rotation, the
            numbers then begin at 1.
        rotate_bytes: Start another file before the current one exceeds this
            many bytes, at least 1.
        rotate_seconds: Start another file after this time, above 0.
        max_files: Keep only this many of the newest files that this
            recorder has started, at least 1. Needs ``rotate_bytes`` or
            ``rotate_seconds``.
        max_bytes: Stop before the total size of all files exceeds this, at
            least 1.
        max_datagrams: Stop after this many datagrams, at least 1.
        max_rate: Write at most this many bytes per second to the files,
            above 0, and leave out the rest. A single burst may have that
            many bytes.

    Raises:
        ValueError: An argument is out of range. No file was created.
        OSError: The file cannot be created; ``errno`` says why.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        receivers: sync.Receiver | Iterable[sync.Receiver],
        *,
        comment: str = "",
        overwrite: bool = False,
        rotate_bytes: SupportsIndex | None = None,
        rotate_seconds: float | None = None,
        max_files: SupportsIndex | None = None,
        max_bytes: SupportsIndex | None = None,
        max_datagrams: SupportsIndex | None = None,
        max_rate: float | None = None,
    ) -> None:
        self.closed = True
        if max_files is not None and rotate_bytes is None and rotate_seconds is None:
            raise ValueError(
                f"max_files must be None without rotate_bytes or rotate_seconds, got {max_files!r}"
            )
        is_rotated = rotate_bytes is not None or rotate_seconds is not None
        if not is_rotated and Path(path).is_dir():
            raise IsADirectoryError(
                errno.EISDIR,
                f"cannot create {os.fspath(path)}: {os.strerror(errno.EISDIR)} (name a file in it)",
            )
        self._receivers = (
            (receivers,) if isinstance(receivers, _core.Receiver) else tuple(dict.fromkeys(receivers))
        )
        self._look()
        indexes = dict.fromkeys(
            membership.interface_index for one in self._receivers for membership in one.groups
        )
        with reader_of_pipe(path, is_opened=_arguments.flag("overwrite", overwrite) and not is_rotated):
            self._core = _core.Recorder(
                os.fspath(path),
                interfaces=[index for index in indexes if index is not None],
                application=f"multicast {_core.__version__}",
                comment=comment,
                overwrite=overwrite,
                rotate_bytes=_limit("rotate_bytes", rotate_bytes),
                rotate_seconds=above_zero("rotate_seconds", rotate_seconds),
                max_files=_limit("max_files", max_files),
                max_bytes=_limit("max_bytes", max_bytes),
                max_datagrams=_limit("max_datagrams", max_datagrams),
                max_rate=above_zero("max_rate", max_rate),
                kernel_drops=self._drops[0],
                ring_drops=self._drops[1],
            )
        self._given, self._process = os.fspath(path), os.getpid()
        self.closed = False

    def write(self, batch: _core.Batch, receiver: sync.Receiver) -> bool:
        """Write the datagrams of a batch.

        Args:
            batch: The batch.
            receiver: The receiver that returned it.

        Returns:
            Whether more can be written. If not, a limit was reached, and the
            rest of the batch was not written.

        Raises:
            OSError: The file cannot be written, for example because the disk is
                full. The file is readable up to that point, the message says
                how many datagrams are missing, and the recorder is closed.
        """
        self._check_process()
        self._look_if_due()
        return self._core.write(batch, receiver.port, *self._drops)

    def tick(self) -> None:
        """Write what has been in memory for half a second.

        While nothing is received, call this at least every half second.

        Raises:
            OSError: As for `write`.
        """
        self._check_process()
        self._look_if_due()
        self._core.tick(*self._drops)

    def stats(self) -> RecorderStats:
        """Return the counters. They keep their last values after closing."""
        return RecorderStats(**self._core.counters())

    @property
    def path(self) -> Path:
        """The file that is being written, or was written last."""
        return self._core.path

    def close(self) -> None:
        """Write what is in memory and the final counters, and close the file. Closing again does nothing.

        In a forked process, this leaves the file to the process that opened it.

        Raises:
            OSError: As for `write`.
        """
        if not self.closed:
            self.closed = True
            if os.getpid() != self._process:
                return
            self._look()
            self._core.close(*self._drops)

    def __repr__(self) -> str:
        """Return the file and whether it is closed."""
        return f"<Recorder of {self.path}{', closed' if self.closed else ''}>"

    def _check_process(self) -> None:
        """Refuse to write in a forked process: its parent writes what is in memory, and the rest of the file.

        Raises:
            UnsupportedError: This is a forked process.
        """
        if os.getpid() != self._process:
            raise UnsupportedError(
                errno.EOPNOTSUPP,
                f"cannot record to {self._given} in a forked process: its parent does that (open another one)",
            )

    def _look_if_due(self) -> None:
        if time.monotonic() >= self._looked + _LOOK_INTERVAL:
            self._look()

    def _look(self) -> None:
        """Read the drop counters of the receivers."""
        stats = [one.stats() for one in self._receivers]
        self._drops = (sum(one.kernel_drops or 0 for one in stats), sum(one.ring_drops for one in stats))
        self._looked = time.monotonic()


@contextlib.contextmanager
def reader_of_pipe(path: str | os.PathLike[str], *, is_opened: bool) -> Generator[None, None, None]:
    """Wait for the reader if the output is a named pipe. The core opens it too, but no signal can end its wait.

    Args:
        path: the output.
        is_opened: whether the core opens this path, which it does not with rotation or if the file must not exist.
    """
    if not is_opened or not Path(path).is_fifo():
        yield
        return
    pipe = os.open(path, os.O_WRONLY)
    try:
        yield
    finally:
        os.close(pipe)


def _limit(name: str, given: SupportsIndex | None) -> int | None:
    return None if given is None else _arguments.whole_number(name, given, 1, _MAX_BYTES)


def above_zero(name: str, given: float | None) -> float | None:
    """Return a number, which must be finite and above zero, or None."""
    if given is None or 0 < given < float("inf"):
        return given
    raise ValueError(f"{name} must be a number above 0, got {given!r}")
