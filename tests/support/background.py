"""Work in another thread during a block."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def running(work: Callable[[threading.Event], object]) -> Generator[None, None, None]:
    """Run ``work`` in a thread during the block. It must return once its argument is set, when the block ends."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
