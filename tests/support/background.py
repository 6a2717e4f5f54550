"""Work in another thread during a block."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def running(work: Callable[[threading.Event], object]) -> Generator[None, None, None]:
    """Run ``work`` in a thread during the block. Its argument is set when the block ends; then it must return."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
