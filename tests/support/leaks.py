"""Finds descriptors and threads that a test left behind in this process (Linux; elsewhere threads only)."""

import contextlib
import gc
import os
import threading
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from tests.support import waiting

# A thread that was told to stop gets this long to do it, in seconds.
_GRACE = 2.0
# Threads of the compiled core carry this name; those of other libraries (numpy's, say) are theirs to keep.
_NATIVE_THREAD_NAME = "multicast"


@dataclass(frozen=True)
class Snapshot:
    """What this process holds: descriptors with what they lead to, Python threads, the core's own threads."""

    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    native_threads: frozenset[str]


def take() -> Snapshot:
    """Return what the process holds now."""
    return Snapshot(_descriptors(), frozenset(threading.enumerate()), _native_threads())


def left_since(before: Snapshot) -> list[str]:
    """Return one line for each thing that is held now and was not at ``before``."""
    for thread in frozenset(threading.enumerate()) - before.threads:
        thread.join(_GRACE)
    # A thread that has been joined is seen a moment longer.
    with contextlib.suppress(TimeoutError):
        waiting.until(lambda: _native_threads() <= before.native_threads, "the core's threads to end", _GRACE)
    now = take()
    if now.descriptors - before.descriptors:
        # Only what is still referenced counts as leaked: cycles may hold a closed object's remains.
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
    found = set()
    for entry in folder.iterdir():
        # The listing holds the descriptor that reads it, which is closed by now.
        with contextlib.suppress(OSError):
            found.add((int(entry.name), os.fspath(entry.readlink())))
    kept = _kept_by_multiprocessing()
    return frozenset((number, target) for number, target in found if number not in kept)


def _kept_by_multiprocessing() -> set[int | None]:
    """Descriptors that the first process started by "spawn" or "forkserver" opens for all that follow."""
    return {
        getattr(resource_tracker._resource_tracker, "_fd", None),
        getattr(forkserver._forkserver, "_forkserver_alive_fd", None),
    }


def _native_threads() -> frozenset[str]:
    folder = Path("/proc/self/task")
    if not folder.is_dir():
        return frozenset()
    found = set()
    for task in folder.iterdir():
        # A thread may end between the listing and the look at it.
        with contextlib.suppress(OSError):
            name = (task / "comm").read_text().strip()
            if name.startswith(_NATIVE_THREAD_NAME):
                found.add(f"{name} ({task.name})")
    return frozenset(found)
