"""Test ``HearUDPHandler``: what it logs, what it answers, and how ``STOP`` ends a server."""

import logging
import re
import socket
import socketserver
from collections.abc import Iterator
from typing import Any

import pytest

from multicast._legacy.replies import TokenBucket
from multicast.exceptions import ShutdownCommandReceived
from multicast.hear import HearUDPHandler, McastServer
from tests.legacy.serving import GROUP, PATIENCE, Keeping, KeepingServer, say, serving

CLIENT = ("192.0.2.99", 5000)


class Wire:
    """A stand-in for a socket that keeps the datagrams sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []

    def getsockname(self) -> tuple[str, int]:
        return (GROUP, 59595)

    def sendto(self, data: bytes, address: Any) -> int:
        self.sent.append((data, address))
        return len(data)


def handle(payload: bytes | None, client: tuple[str, int] = CLIENT, server: Any = None) -> Wire:
    wire = Wire()
    HearUDPHandler((payload, wire), client, server)  # type: ignore[arg-type]
    return wire


def test_handler_text_is_answered_in_upper_case() -> None:
    wire = handle("hällo".encode())
    assert wire.sent == [(f"HEAR [ HÄLLO SAID 192.0.2.99:5000 ] from {GROUP}:59595".encode(), CLIENT)]


@pytest.mark.parametrize(
    "client",
    [("239.1.2.3", 5000), ("255.255.255.255", 5000), ("192.0.2.99", 0), ("0.0.0.0", 5000)],
)
def test_handler_client_that_is_not_one_host_gets_no_answer(client: tuple[str, int]) -> None:
    assert handle(b"hello", client).sent == []


def test_handler_answer_of_another_handler_gets_no_answer() -> None:
    assert handle(handle(b"hello").sent[0][0]).sent == []


@pytest.mark.parametrize("payload", [b"STOP", b"please STOP now", b"Default listener only knows: STOP"])
def test_handler_stop_raises_shutdown_command_received(payload: bytes) -> None:
    with pytest.raises(ShutdownCommandReceived) as caught:
        handle(payload)
    assert caught.value.exit_code == 143


@pytest.mark.parametrize("payload", [b"stop", b"ST OP", b""])
def test_handler_text_without_stop_is_answered(payload: bytes) -> None:
    assert len(handle(payload).sent) == 1


@pytest.mark.parametrize(
    "request_",
    [(None, Wire()), (b"STOP", None), (b"STOP \xff", Wire())],
    ids=["no data", "no socket", "no text"],
)
def test_handler_request_without_text_or_socket_is_ignored(request_: tuple[Any, Any]) -> None:
    HearUDPHandler(request_, CLIENT, None)  # type: ignore[arg-type]
    assert request_[1] is None or request_[1].sent == []


def test_handler_failed_answer_is_logged_with_the_client(caplog: pytest.LogCaptureFixture) -> None:
    class Dead(Wire):
        def sendto(self, data: bytes, address: Any) -> int:
            raise PermissionError(13, "Permission denied")

    with caplog.at_level(logging.WARNING, "multicast"):
        HearUDPHandler((b"hello", Dead()), CLIENT, None)  # type: ignore[arg-type]
    assert ["192.0.2.99:5000" in record.getMessage() for record in caplog.records] == [True]


@pytest.fixture
def client(loopback: str) -> Iterator[socket.socket]:
    """A plain socket that can send to the group and receive unicast answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(loopback))
        sock.bind((loopback, 0))
        sock.settimeout(PATIENCE)
        yield sock


def test_server_answer_arrives_by_unicast(client: socket.socket, loopback: str) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server, serving(server):
        port = server.server_address[1]
        client.sendto(b"hello", (GROUP, port))
        answer, sender = client.recvfrom(1000)
        me = re.escape(f"HEAR [ HELLO SAID {loopback}:{client.getsockname()[1]} ] from ")
        assert re.fullmatch(rf"{me}[\d.]+:{port}", answer.decode())
        assert sender[1] == port


def test_server_answers_are_limited_by_the_token_bucket(client: socket.socket, loopback: str) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server, serving(server) as thread:
        allowed = 0
        while server.answers.take():
            allowed += 1
        assert 1 < allowed < 1000
        server.answers = TokenBucket(rate=1e-6, burst=3)
        for _ in range(10):
            client.sendto(b"hello", (GROUP, server.server_address[1]))
        client.sendto(b"STOP", (GROUP, server.server_address[1]))
        thread.join(PATIENCE)
        client.settimeout(0)
        answers = 0
        while True:
            try:
                client.recv(1000)
            except BlockingIOError:
                break
            answers += 1
        assert answers == 3


def test_server_reply_false_sends_no_answer(client: socket.socket, loopback: str) -> None:
    class Noting(HearUDPHandler):
        def handle(self) -> None:
            super().handle()
            Keeping.handle(self)  # type: ignore[arg-type]

    with KeepingServer((GROUP, 0), Noting, iface=loopback, reply=False) as server, serving(server):
        client.sendto(b"hello", (GROUP, server.server_address[1]))
        assert server.payloads(1) == [b"hello"]
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv(1000)


def test_server_stop_ends_serving_and_logs_the_sender(
    client: socket.socket, loopback: str, caplog: pytest.LogCaptureFixture
) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server:
        client.sendto(b"STOP", (GROUP, server.server_address[1]))
        with caplog.at_level(logging.WARNING, "multicast"):
            server.serve_forever()
    (record,) = caplog.records
    assert (record.name, record.levelname) == (f"multicast.hear.McastServer.{GROUP}", "WARNING")
    assert f"{loopback}:{client.getsockname()[1]}" in record.getMessage()


def test_server_stop_false_keeps_serving_after_stop(client: socket.socket, loopback: str) -> None:
    with (
        McastServer((GROUP, 0), HearUDPHandler, iface=loopback, stop=False) as server,
        serving(server) as thread,
    ):
        for text in (b"STOP", b"hello"):
            client.sendto(text, (GROUP, server.server_address[1]))
            assert text.upper() in client.recv(1000)
        assert thread.is_alive()


def test_threading_server_stop_ends_serving(loopback: str) -> None:
    class Threading(socketserver.ThreadingMixIn, McastServer):
        pass

    with Threading((GROUP, 0), HearUDPHandler, iface=loopback) as server, serving(server) as thread:
        say(server, b"STOP")
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_handle_request_stop_makes_serve_forever_return_at_once(loopback: str) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server:
        say(server, b"STOP")
        server.handle_request()
        # The server has been shut down, so this returns at once.
        server.serve_forever()


def test_server_custom_handler_failing_on_stop_is_logged_and_ends_serving(
    loopback: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            raise KeyError("a bug of the handler")

    with McastServer((GROUP, 0), Failing, iface=loopback) as server:
        say(server, b"STOP")
        with caplog.at_level(logging.WARNING, "multicast"):
            server.serve_forever()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert caplog.records[0].exc_info is not None
    assert "a bug of the handler" in str(caplog.records[0].exc_info[1])


@pytest.mark.parametrize("request_", [None, (None, None), (b"other", None)])
def test_handle_error_without_stop_calls_the_base_class(
    loopback: str, request_: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server:
        server.handle_error(request_, CLIENT)
        assert str(CLIENT) in capsys.readouterr().err


@pytest.mark.parametrize("text", ["STOP", "please STOP now", b"STOP", bytearray(b"STOP")])
def test_handle_error_with_stop_as_text_or_bytes_shuts_down(
    loopback: str, text: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server:
        # No exception is being handled.
        server.handle_error((text, server.socket), CLIENT)
        assert "STOP from 192.0.2.99:5000" in caplog.text
        server.serve_forever()


@pytest.mark.parametrize("text", ["stop", "", b"stop"])
def test_handle_error_without_stop_as_text_or_bytes_calls_the_base_class(
    loopback: str, text: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server:
        server.handle_error((text, server.socket), CLIENT)
        assert str(CLIENT) in capsys.readouterr().err


def test_handle_error_with_stop_calls_shutdown(loopback: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with McastServer((GROUP, 0), HearUDPHandler, iface=loopback) as server:
        calls: list[bool] = []
        monkeypatch.setattr(server, "shutdown", lambda: calls.append(True))
        server.handle_error((b"now STOP", server.socket), CLIENT)
        assert calls == [True]
