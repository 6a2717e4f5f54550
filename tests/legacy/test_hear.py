"""Test ``McastHEAR``: it listens until ``STOP`` arrives, in this process and in a child process."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

import pytest
from typing_extensions import Self

import multicast
from tests.support.joined import until_joined
from tests.support.programs import Program, argv_for

GROUP = "239.4.4.1"
OTHER = "239.4.4.2"


@pytest.fixture
def sender(free_port: int, loopback: str) -> Iterator[multicast.Sender]:
    with multicast.Sender(GROUP, free_port, interface=loopback) as tx:
        yield tx


class Listener(threading.Thread):
    """A HEAR in a thread, and its result."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options
        self.result: Any = None

    def run(self) -> None:
        self.result = multicast.hear.McastHEAR()(**self.options)

    def __enter__(self) -> Self:
        self.start()
        until_joined(GROUP, pid=os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        self.join(10)
        assert not self.is_alive()


pytestmark = pytest.mark.platform("linux")


def test_hear_listens_until_stop(sender: multicast.Sender, free_port: int, loopback: str) -> None:
    with Listener(group=GROUP, port=free_port, iface=loopback, is_daemon=True) as listener:
        sender.send(b"hello")
        sender.send(b"STOP")
    assert listener.result == (True, None)


@pytest.mark.parametrize(
    "where", [{"groups": [OTHER, GROUP]}, {"group": OTHER, "groups": [GROUP]}, {"groups": GROUP}], ids=str
)
def test_hear_every_given_group_is_received(
    sender: multicast.Sender, free_port: int, loopback: str, where: dict[str, Any]
) -> None:
    with Listener(port=free_port, iface=loopback, **where) as listener:
        sender.send(b"STOP")
    assert listener.result == (True, None)


def test_hear_source_filter_ignores_stop_from_other_senders(
    sender: multicast.Sender, free_port: int, loopback: str, caplog: pytest.LogCaptureFixture
) -> None:
    # All of 127.0.0.0/8 belongs to this machine.
    with (
        Listener(group=GROUP, port=free_port, iface=loopback, source=["127.0.0.2", "127.0.0.3"]),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wanted,
    ):
        sender.send(b"STOP")
        wanted.bind(("127.0.0.3", 0))
        wanted.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(loopback))
        wanted.sendto(b"STOP", (GROUP, free_port))
        place = f"127.0.0.3:{wanted.getsockname()[1]}"
    assert [message for message in caplog.messages if "STOP" in message] == [
        f"STOP from {place}: shutting down."
    ]


def test_hear_is_std_prints_each_message(
    sender: multicast.Sender, free_port: int, loopback: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Listener(group=GROUP, port=free_port, iface=loopback, is_std=True):
        for payload in (b"one", b"\xff\x00", b"", "zwölf".encode(), b"STOP"):
            sender.send(payload)
    assert capsys.readouterr().out == "one\n\\xff\x00\n\nzwölf\nSTOP\n"


def test_hear_messages_are_logged(
    sender: multicast.Sender, free_port: int, loopback: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "multicast"), Listener(group=GROUP, port=free_port, iface=loopback):
        sender.send(b"hello")
        sender.send(b"STOP")
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("multicast.hear")]
    assert any("hello" in message for message in logged)


def test_hear_stop_false_keeps_listening_after_stop(
    sender: multicast.Sender, free_port: int, loopback: str
) -> None:
    script = (
        "import multicast, sys;"
        f"multicast.hear.McastHEAR()(group='{GROUP}', port={free_port}, iface='{loopback}', is_std=True, stop=False)"
    )
    with Program(argv_for("python", script)) as program:
        program.until_joined(GROUP)
        sender.send(b"STOP")
        sender.send(b"still there")
        assert program.line_with("still there") == "still there\n"
        program.interrupt()
        # An interrupted listener returns normally, as the process in the FAQ does.
        assert program.finish() == 0, program.err


@pytest.fixture(scope="module", autouse=True)
def tracker() -> None:
    """Start multiprocessing's tracker, which lives until the end of the run, before leaks are checked."""
    resource_tracker.ensure_running()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_hear_child_process_exits_0_on_stop(
    sender: multicast.Sender, free_port: int, loopback: str, method: str
) -> None:
    # The type of a context depends on its method.
    context: Any = multiprocessing.get_context(method)
    process = context.Process(
        target=multicast.hear.McastHEAR(),
        name="HEAR",
        kwargs={"is_daemon": True, "port": free_port, "group": GROUP, "iface": loopback},
    )
    process.start()
    assert process.pid is not None
    until_joined(GROUP, pid=process.pid)
    sender.send(b"Default listener only knows: STOP")
    process.join(10)
    assert process.exitcode == 0
    process.close()


def test_hear_child_process_exits_0_on_sigint(free_port: int, loopback: str) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=multicast.hear.McastHEAR(),
        kwargs={"port": free_port, "group": GROUP, "iface": loopback},
    )
    process.start()
    assert process.pid is not None
    until_joined(GROUP, pid=process.pid)
    os.kill(process.pid, signal.SIGINT)
    process.join(10)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("step", ["server_bind", "server_activate", "serve_forever", "server_close"])
def test_hear_interrupted_at_any_step_returns_normally(
    free_port: int, loopback: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    server: Any = multicast.hear.McastServer

    def interrupted(self: Any, *args: Any) -> None:
        plain(self, *args)
        signal.raise_signal(signal.SIGINT)

    def serve_not_at_all(self: Any) -> None:
        """Return at once."""

    monkeypatch.setattr(server, "serve_forever", serve_not_at_all)
    plain = getattr(server, step)
    monkeypatch.setattr(server, step, interrupted)
    try:
        result = multicast.hear.McastHEAR()(group=GROUP, port=free_port, iface=loopback)
    except KeyboardInterrupt:
        # pytest would end the whole run.
        pytest.fail("interrupted")
    assert result == (True, None)


def test_hear_broken_output_raises_broken_pipe_error(
    sender: multicast.Sender, free_port: int, loopback: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    # The listener fails in its own thread: keep the error for this one.
    done: list[BaseException] = []

    class Failing(Listener):
        def run(self) -> None:
            try:
                super().run()
            except BrokenPipeError as problem:
                done.append(problem)

    with Failing(group=GROUP, port=free_port, iface=loopback, is_std=True):
        sender.send(b"hello")
    assert len(done) == 1


def test_hear_unknown_interface_raises_os_error(free_port: int) -> None:
    with pytest.raises(OSError, match="nosuch0"):
        multicast.hear.McastHEAR()(group=GROUP, port=free_port, iface="nosuch0")
