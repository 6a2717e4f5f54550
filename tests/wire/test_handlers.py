"""Test `run(handler)` of both receivers: each datagram once and in order, until it stops; errors are logged."""

import asyncio
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from multicast import aio, sync
from multicast._core import Datagram
from tests.support import loops
from tests.wire.exchange import LOOPBACK, PATIENCE

Handler = Callable[[Datagram], object]

# The rest of a backlog is taken without waiting, and a packet receiver gets datagrams in blocks.
pytestmark = pytest.mark.udp_sockets


class Sync:
    """The synchronous receiver."""

    def __init__(self) -> None:
        self.rx = sync.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface)

    def run(self, handler: Handler, **options: Any) -> int:
        return self.rx.run(handler, **options)

    def rest(self) -> list[bytes]:
        return self.rx.recv_batch(timeout=0).payloads()


class Async:
    """The asynchronous receiver, in an event loop of its own."""

    def __init__(self) -> None:
        self.rx = aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface)

    def run(self, handler: Handler, **options: Any) -> int:
        return loops.run(asyncio.SelectorEventLoop, self.rx.run(handler, **options))

    def rest(self) -> list[bytes]:
        return asyncio.run(self.rx.recv_batch(timeout=0)).payloads()


@pytest.fixture(params=[Sync, Async])
def runner(request: pytest.FixtureRequest) -> Any:
    """Return each kind of receiver in turn, with a way to call its `run`. Close it at the end."""
    runner = request.param()
    yield runner
    runner.rx.close()
    del runner.rx


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


class Kept:
    """A handler that keeps the payloads and calls ``at_last`` when it has ``count``."""

    def __init__(self, count: int = 0, at_last: Callable[[], object] = list) -> None:
        self.found: list[bytes] = []
        self._count = count
        self._at_last = at_last

    def __call__(self, msg: Datagram) -> None:
        self.found.append(msg.data)
        if len(self.found) == self._count:
            self._at_last()


def test_run_event_set_by_handler_ends_it(runner: Any) -> None:
    stop = threading.Event()
    handler = Kept(100, stop.set)
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send_many(numbered(150))
        assert runner.run(handler, stop=stop) == 100
    assert handler.found == numbered(150)[:100]
    assert runner.rest() == numbered(150)[100:]


def test_run_event_set_before_handles_nothing(runner: Any) -> None:
    stop = threading.Event()
    stop.set()
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send(b"not handled")
        assert runner.run(Kept(), stop=stop) == 0
    assert runner.rest() == [b"not handled"]


def test_run_stop_function_ends_it(runner: Any) -> None:
    handler = Kept()
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send_many(numbered(10))
        assert runner.run(handler, stop=lambda: len(handler.found) == 7) == 7
    assert handler.found == numbered(7)


@pytest.mark.alone
def test_run_event_set_in_thread_ends_it_without_datagrams(runner: Any) -> None:
    stop = threading.Event()
    set_at: list[float] = []

    def set_it() -> None:
        set_at.append(monotonic())
        stop.set()

    timer = threading.Timer(0.05, set_it)
    timer.start()
    assert runner.run(Kept(), stop=stop) == 0
    assert monotonic() - set_at[0] < 1
    timer.join()


def test_run_close_in_thread_ends_it(runner: Any) -> None:
    timer = threading.Timer(0.05, runner.rx.close)
    timer.start()
    assert runner.run(Kept()) == 0
    timer.join()
    assert runner.rx.closed


def test_run_close_by_handler_ends_it(runner: Any) -> None:
    handler = Kept(3, runner.rx.close)
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send_many(numbered(5))
        assert runner.run(handler) == 3
    assert handler.found == numbered(3)


def test_run_timeout_raises_timeout_error(runner: Any) -> None:
    begin = monotonic()
    with pytest.raises(TimeoutError, match=r"nothing was received within 0\.25 s"):
        runner.run(Kept(), timeout=0.25, stop=threading.Event())
    assert monotonic() - begin > 0.24
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send_many(numbered(5))
        handler = Kept()
        with pytest.raises(TimeoutError):
            runner.run(handler, timeout=0)
        assert handler.found == numbered(5)


def failing(msg: Datagram) -> None:
    if msg.data == b"1":
        raise ZeroDivisionError("one is too many")
    handled.append(msg.data)


handled: list[bytes] = []


def logged_error(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    [record] = [
        record for record in caplog.records if record.name == "multicast" and record.levelname == "ERROR"
    ]
    return record


def test_run_handler_error_is_logged_and_the_run_continues(
    runner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handled.clear()
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send_many(numbered(3))
        assert runner.run(failing, stop=lambda: len(handled) == 2) == 3
    assert handled == [b"0", b"2"]
    record = logged_error(caplog)
    text = record.getMessage()
    assert f"1 bytes from ('{sender_in(record)}'" in text
    assert LOOPBACK.group in text
    assert "ZeroDivisionError: one is too many" in text
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def sender_in(record: logging.LogRecord) -> str:
    assert isinstance(record.args, tuple)
    sender: Any = record.args[1]
    return str(sender[0])


def test_run_on_error_raise_ends_the_run(runner: Any, caplog: pytest.LogCaptureFixture) -> None:
    handled.clear()
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send_many(numbered(3))
        with pytest.raises(ZeroDivisionError, match="one is too many"):
            runner.run(failing, on_error="raise")
    assert handled == [b"0"]
    assert "ZeroDivisionError" in logged_error(caplog).getMessage()
    assert runner.rest() == [b"2"]


def test_run_keyboard_interrupt_is_not_logged_as_handler_error(
    runner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(msg: Datagram) -> None:
        raise KeyboardInterrupt

    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send(b"one")
        with pytest.raises(KeyboardInterrupt):
            runner.run(interrupted)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"stop": 5}, TypeError),
        ({"stop": "now"}, TypeError),
        ({"on_error": "ignore"}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
    ],
)
def test_run_wrong_argument_raises_before_receiving(
    runner: Any, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with LOOPBACK.sender(runner.rx.port) as tx:
        tx.send(b"one")
        with pytest.raises(error):
            runner.run(Kept(), **wrong)
    assert runner.rest() == [b"one"]


@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_run_coroutine_handler_and_asyncio_event_work(kind: str) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        found: list[bytes] = []

        async def handler(msg: Datagram) -> None:
            await asyncio.sleep(0.001)
            found.append(msg.data)
            if len(found) == 20:
                stop.set()

        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            with LOOPBACK.sender(rx.port) as tx:
                tx.send_many(numbered(25))
                assert await asyncio.wait_for(rx.run(handler, stop=stop), PATIENCE) == 20
                assert found == numbered(20)
                assert (await rx.recv_batch()).payloads() == numbered(25)[20:]

    loops.run(loops.KINDS[kind], main())


def test_aio_run_cancelled_raises_cancelled_error_and_loses_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        found: list[bytes] = []

        async def handler(msg: Datagram) -> None:
            found.append(msg.data)
            if len(found) == 3:
                await asyncio.sleep(PATIENCE)

        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            with LOOPBACK.sender(rx.port) as tx:
                tx.send_many(numbered(5))
                task = asyncio.ensure_future(rx.run(handler))
                while len(found) < 3:
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert found + (await rx.recv_batch()).payloads() == numbered(5)

    asyncio.run(main())
    assert caplog.records == []
