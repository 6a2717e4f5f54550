"""Find descriptors and threads that a test leaves behind in this process (on Linux; elsewhere threads only)."""

import contextlib
import gc
import os
import threading
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from tests.support import waiting

# Seconds allowed for a thread to stop.
_GRACE = 2.0
# The prefix of the names of threads of the compiled core. Threads of other libraries do not count.
_NATIVE_THREAD_NAME = "multicast"


@dataclass(frozen=True)
class Snapshot:
    """The descriptors of this process with their targets, its Python threads, and the threads of the core."""

    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    native_threads: frozenset[str]


def take() -> Snapshot:
    """Return the present state of the process."""
    return Snapshot(_descriptors(), frozenset(threading.enumerate()), _native_threads())


def left_since(before: Snapshot) -> list[str]:
    """Return one line for each descriptor or thread that exists now and did not at ``before``."""
    for thread in frozenset(threading.enumerate()) - before.threads:
        thread.join(_GRACE)
    # A joined thread remains visible for a moment.
    with contextlib.suppress(TimeoutError):
        waiting.until(lambda: _native_threads() <= before.native_threads, "the core's threads to end", _GRACE)
    now = take()
    if now.descriptors - before.descriptors:
        # Only objects that are still referenced count: reference cycles may hold closed ones.
        gc.collect()
        now = take()
    return [
        *(f"descriptor {number} -> {target}" for number, target in now.descriptors - before.descriptors),
        *(f"thread {thread.name}" for thread in now.threads - before.threads),
        *(f"thread of the core {name}" for name in now.native_threads - before.native_threads),
    ]


def _descriptors() -> frozenset[tuple[int, str]]:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return frozenset()
    found: set[tuple[int, str]] = set()
    for entry in folder.iterdir():
        # The listing includes the descriptor that read it, which is closed by now.
        with contextlib.suppress(OSError):
            found.add((int(entry.name), os.fspath(entry.readlink())))
    kept = _kept_by_multiprocessing()
    return frozenset((number, target) for number, target in found if number not in kept)


def _kept_by_multiprocessing() -> set[int | None]:
    """Return the descriptors that the first "spawn" or "forkserver" process opens for the rest of the run."""
    return {
        getattr(resource_tracker._resource_tracker, "_fd", None),
        getattr(forkserver._forkserver, "_forkserver_alive_fd", None),
    }


def _native_threads() -> frozenset[str]:
    folder = Path("/proc/self/task")
    if not folder.is_dir():
        return frozenset()
    found: set[str] = set()
    for task in folder.iterdir():
        # A thread may end between the listing and the reading.
        with contextlib.suppress(OSError):
            name = (task / "comm").read_text().strip()
            if name.startswith(_NATIVE_THREAD_NAME):
                found.add(f"{name} ({task.name})")
    return frozenset(found)
