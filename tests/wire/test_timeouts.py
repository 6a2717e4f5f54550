"""Test how long a receive waits: only a datagram, the timeout, a signal or a close ends it."""

import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from multicast.sync import Receiver
from tests.support.background import running
from tests.support.programs import Program, argv_for
from tests.wire.exchange import LOOPBACK, PATIENCE, until_in_poll

pytestmark = pytest.mark.alone

RECEIVES: dict[str, Callable[[Receiver, float], object]] = {
    "recv": lambda rx, timeout: rx.recv(timeout=timeout),
    "recv_batch": lambda rx, timeout: rx.recv_batch(timeout=timeout),
}


@pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES.keys())
@pytest.mark.parametrize("timeout", [0.0005, 0.02, 0.3])
def test_receive_timeout_raises_after_that_time(
    receive: Callable[[Receiver, float], object], timeout: float
) -> None:
    with LOOPBACK.receiver() as rx:
        started = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            receive(rx, timeout)
        assert timeout <= time.monotonic() - started < timeout + 0.5
        assert str(caught.value) == f"nothing was received on port {rx.port} within {timeout} s"
        # The built-in class, which is a subclass of OSError, so code may catch either.
        assert type(caught.value) is TimeoutError


# A packet receiver gets datagrams in blocks, so they are not there at once.
@pytest.mark.udp_sockets
@pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES.keys())
def test_receive_timeout_zero_takes_what_is_pending(receive: Callable[[Receiver, float], object]) -> None:
    with LOOPBACK.pair() as (tx, rx):
        for _ in range(3):
            with pytest.raises(TimeoutError, match=r"within 0 s"):
                receive(rx, 0)
            tx.send(b"x")
            assert receive(rx, 0)


@pytest.mark.parametrize("timeout", [PATIENCE, math.inf, None])
def test_recv_datagram_ends_the_wait(timeout: float | None) -> None:
    with LOOPBACK.pair() as (tx, rx):
        sender = threading.Timer(0.05, tx.send, [b"x"])
        sender.start()
        started = time.monotonic()
        assert rx.recv(timeout=timeout).data == b"x"
        assert time.monotonic() - started < PATIENCE / 2
        sender.join()


def test_recv_filtered_datagrams_do_not_extend_the_wait() -> None:
    # Unicast to the port wakes the receiver repeatedly and is then filtered.
    with Receiver(["239.9.8.7", "239.9.8.8"], 0, interface=LOOPBACK.interface) as rx:

        def disturb(stop: threading.Event) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                while not stop.wait(0.002):
                    plain.sendto(b"x", (LOOPBACK.interface, rx.port))

        with running(disturb):
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                rx.recv(timeout=0.3)
            waited = time.monotonic() - started
        assert 0.3 <= waited < 0.8
        assert rx.stats().filtered > 0


class HandlerError(Exception):
    """The error that a signal handler raises."""


@contextmanager
def handled(handler: Callable[..., object]) -> Generator[None, None, None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def signals(count: int, apart: float) -> Generator[None, None, None]:
    """Send this thread ``count`` signals, one every ``apart`` seconds."""
    me = threading.get_ident()

    def send(stop: threading.Event) -> None:
        for _ in range(count):
            if stop.wait(apart):
                return
            signal.pthread_kill(me, signal.SIGUSR1)

    with running(send):
        yield


@pytest.mark.platform("linux", "darwin")
class TestSignals:
    @pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES.keys())
    def test_receive_signal_handler_that_returns_does_not_end_the_wait(
        self, receive: Callable[[Receiver, float], object]
    ) -> None:
        calls: list[float] = []
        with LOOPBACK.receiver() as rx, handled(lambda *_: calls.append(time.monotonic())):
            started = time.monotonic()
            with signals(10, 0.02), pytest.raises(TimeoutError):
                receive(rx, 0.4)
            # Neither cut short nor restarted.
            assert 0.4 <= time.monotonic() - started < 0.8
            assert len(calls) == 10
            # The handlers ran during the wait, not after it.
            assert calls[-1] - started < 0.4

    def test_recv_datagram_after_signals_is_received(self) -> None:
        calls: list[int] = []
        with LOOPBACK.pair() as (tx, rx):

            def handler(*_: object) -> None:
                calls.append(1)
                if len(calls) == 3:
                    tx.send(b"from the handler")

            with handled(handler), signals(3, 0.02):
                assert rx.recv(timeout=PATIENCE).data == b"from the handler"

    @pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES.keys())
    def test_receive_signal_handler_that_raises_ends_the_wait(
        self, receive: Callable[[Receiver, float], object]
    ) -> None:
        def handler(*_: object) -> None:
            raise HandlerError

        with LOOPBACK.pair() as (tx, rx):
            started = time.monotonic()
            with handled(handler), signals(1, 0.02), pytest.raises(HandlerError):
                receive(rx, PATIENCE)
            assert time.monotonic() - started < 0.5
            tx.send(b"and it goes on")
            assert rx.recv(timeout=PATIENCE).data == b"and it goes on"


CTRL_C = """
import os, sys, time
from multicast.sync import Receiver

with Receiver("239.9.8.7", 0, interface="127.0.0.1") as rx:
    try:
        print("ready", os.getpid(), flush=True)
        {wait}
    except KeyboardInterrupt:
        print("interrupted at", time.monotonic(), flush=True)
        raise
"""
WAITS = ["rx.recv()", "rx.recv(timeout=60)", "rx.recv_batch()", "for msg in rx: pass"]


@pytest.mark.platform("linux")
@pytest.mark.parametrize("wait", WAITS)
def test_receive_ctrl_c_ends_the_wait_within_200_ms(wait: str) -> None:
    with Program(argv_for("python", CTRL_C.format(wait=wait))) as program:
        pid = int(program.line_with("ready").split()[-1])
        until_in_poll(f"/proc/{pid}")
        pressed = time.monotonic()
        program.interrupt()
        # Both processes read the same clock.
        noticed = float(program.line_with("interrupted at").split()[-1])
        assert 0 <= noticed - pressed < 0.2
        # The program does not catch it, so the process ends by the signal (130 in a shell).
        assert program.finish() == -signal.SIGINT
        assert "KeyboardInterrupt" in program.err
