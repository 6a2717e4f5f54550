"""Test ``McastServer``: a ``socketserver.UDPServer`` that keeps one socket for its life."""

import contextlib
import errno
import os
import re
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multicast import Sender, hear
from multicast.hear import McastServer
from tests.legacy.serving import GROUP, OTHER, PATIENCE, Keeping, KeepingServer, say, serving
from tests.support.programs import environment


@pytest.fixture
def options(loopback: str) -> dict[str, Any]:
    return {"iface": loopback}


def test_server_is_a_udp_server(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        assert isinstance(server, socketserver.UDPServer)
        assert server.server_address == server.socket.getsockname()
        assert server.server_address[1] != 0, "port 0 must choose a free port"
        assert type(server.socket) is socket.socket
        assert server.fileno() >= 0
        assert server.RequestHandlerClass is Keeping
        assert server.logger.name == f"multicast.hear.McastServer.{GROUP}"


def test_server_request_is_payload_and_socket(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server, serving(server):
        with Sender(GROUP, server.server_address[1], interface=options["iface"]) as sender:
            sender.send(b"\xff\x00")
            with socket.socket(fileno=os.dup(sender.fileno())) as view:
                port = view.getsockname()[1]
        (payload, sock), client_address = server.kept.get(timeout=PATIENCE)
        assert (payload, client_address[1]) == (b"\xff\x00", port)
        assert sock is server.socket


@pytest.mark.parametrize("size", [0, 1, 8193, 65507])
def test_server_datagram_of_any_size_arrives_whole(options: dict[str, Any], size: int) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server, serving(server):
        payload = os.urandom(size)
        say(server, payload)
        assert server.payloads(1) == [payload]


@pytest.mark.private_net
def test_server_host_none_joins_the_default_group() -> None:
    with KeepingServer((None, 0), Keeping) as server, serving(server):
        assert server.logger.name == "multicast.hear.McastServer.224.0.0.1"
        say(server, b"hello", group="224.0.0.1")
        assert server.payloads(1) == [b"hello"]


def test_server_groups_are_joined_too(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, groups=[OTHER], **options) as server, serving(server):
        say(server, b"one", group=GROUP)
        say(server, b"two", group=OTHER)
        assert server.payloads(2) == [b"one", b"two"]


@pytest.mark.platform("linux")
@pytest.mark.private_net
@pytest.mark.parametrize(
    "groups",
    [[f"239.4.7.{number}" for number in range(1, 31)], [f"{GROUP}%lo", "ff15::4:7%lo"]],
    ids=["many", "both"],
)
def test_server_groups_beyond_one_socket_are_received(groups: list[str]) -> None:
    with KeepingServer((groups[0], 0), Keeping, groups=groups) as server:
        for group in groups:
            with Sender(group, server.server_address[1]) as sender:
                sender.send(group.encode())
        for handled in range(1, len(groups) + 1):
            server.handle_request()
            assert server.kept.qsize() == handled
        with serving(server):
            assert sorted(server.payloads(len(groups))) == sorted(group.encode() for group in groups)
            for group in groups:
                with Sender(group, server.server_address[1]) as sender:
                    sender.send(group.encode())
            assert sorted(server.payloads(len(groups))) == sorted(group.encode() for group in groups)


def test_server_group_not_joined_is_not_handled(options: dict[str, Any]) -> None:
    with (
        KeepingServer((GROUP, 0), Keeping, **options) as server,
        KeepingServer((OTHER, server.server_address[1]), Keeping, **options) as other,
        serving(server),
        serving(other),
    ):
        say(server, b"not for this one", group=OTHER)
        say(server, b"for this one", group=GROUP)
        assert server.payloads(1) == [b"for this one"]
        assert other.payloads(1) == [b"not for this one"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_server_unicast_host_is_bound_and_receives_unicast(host: str) -> None:
    with KeepingServer((host, 0), Keeping) as server, serving(server):
        assert server.server_address[0] == "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", server.server_address)
        assert server.payloads(1) == [b"hello"]


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_server_wildcard_host_receives_groups_and_unicast(host: str, options: dict[str, Any]) -> None:
    with KeepingServer((host, 0), Keeping, groups=[GROUP], **options) as server, serving(server):
        say(server, b"to the group")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"to the host", ("127.0.0.1", server.server_address[1]))
        assert sorted(server.payloads(2)) == [b"to the group", b"to the host"]


def test_server_shutdown_returns_when_serving_has_ended(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        say(server, b"hello")
        server.payloads(1)
        server.shutdown()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_server_shutdown_before_serving_makes_it_return_at_once(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        server.shutdown()
        server.serve_forever()
        say(server, b"hello")
        # Only that one call returns early: the next one serves.
        with serving(server):
            assert server.payloads(1) == [b"hello"]


def test_server_serving_again_loses_nothing_in_between(options: dict[str, Any]) -> None:
    class StopsAtTen(Keeping):
        def handle(self) -> None:
            super().handle()
            if self.server.kept.qsize() % 10 == 0:
                self.server.shutdown()

    with KeepingServer((GROUP, 0), StopsAtTen, **options) as server:
        payloads = [b"%d" % number for number in range(30)]
        say(server, *payloads)
        for served in (10, 20, 30):
            server.serve_forever()
            assert server.kept.qsize() == served
        assert server.payloads(30) == payloads


def test_server_handle_request_handles_one_or_times_out(options: dict[str, Any]) -> None:
    class Impatient(KeepingServer):
        timeouts = 0

        def handle_timeout(self) -> None:
            self.timeouts += 1

    with Impatient((GROUP, 0), Keeping, **options) as server:
        say(server, b"one", b"two", b"three")
        for handled in (1, 2, 3):
            server.handle_request()
            assert server.kept.qsize() == handled
        server.timeout = 0.01
        server.handle_request()
        assert (server.kept.qsize(), server.timeouts) == (3, 1)
        assert server.payloads(3) == [b"one", b"two", b"three"]


HOOKS = ("verify_request", "process_request", "finish_request", "shutdown_request", "close_request")


def test_server_hooks_of_a_subclass_are_called_in_order(options: dict[str, Any]) -> None:
    calls: list[str] = []

    def noting(name: str) -> Any:
        def hook(self: Any, *args: Any) -> Any:
            calls.append(name)
            return getattr(super(noting_server, self), name)(*args)

        return hook

    names = ("server_bind", "server_activate", "get_request", *HOOKS, "service_actions", "server_close")
    noting_server: type[KeepingServer] = type(
        "Noting", (KeepingServer,), {name: noting(name) for name in names}
    )

    with noting_server((GROUP, 0), Keeping, **options) as server:
        assert calls == ["server_bind", "server_activate"]
        calls.clear()
        say(server, b"one", b"two")
        with serving(server):
            server.payloads(2)
        seen = [name for name in calls if name not in {"service_actions", "server_close"}]
        assert seen == ["get_request", *HOOKS] * 2
        assert calls.count("service_actions") >= 2
        calls.clear()
    assert calls == ["server_close"]


@pytest.mark.parametrize("name", [*HOOKS, "get_request"])
def test_server_hook_set_on_the_instance_is_called(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        called = threading.Event()
        plain = getattr(server, name)

        def hook(*args: Any) -> Any:
            called.set()
            return plain(*args)

        monkeypatch.setattr(server, name, hook)
        say(server, b"one")
        with serving(server):
            assert server.payloads(1) == [b"one"]
        assert called.is_set()


def test_server_request_failing_verification_is_not_handled(options: dict[str, Any]) -> None:
    class Choosy(KeepingServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            return not request[0].startswith(b"bad")

    with Choosy((GROUP, 0), Keeping, **options) as server, serving(server):
        say(server, b"bad one", b"good one", b"bad two", b"good two")
        assert server.payloads(2) == [b"good one", b"good two"]


def test_threading_server_handles_requests_in_threads(options: dict[str, Any]) -> None:
    class Threads(Keeping):
        def handle(self) -> None:
            self.server.kept.put(threading.get_ident())

    class Threading(socketserver.ThreadingMixIn, KeepingServer):
        pass

    with Threading((GROUP, 0), Threads, **options) as server, serving(server) as thread:
        say(server, b"one", b"two")
        handlers = {server.kept.get(timeout=PATIENCE) for _ in range(2)}
        assert thread.ident not in handlers


def test_server_failing_handler_does_not_end_serving(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Keeping):
        def handle(self) -> None:
            super().handle()
            if self.request[0] == b"bad":
                raise KeyError("a bug of the handler")

    with KeepingServer((GROUP, 0), Failing, **options) as server, serving(server):
        say(server, b"bad", b"good")
        assert server.payloads(2) == [b"bad", b"good"]
    # The base class prints the error, as for every socketserver.
    assert "a bug of the handler" in capsys.readouterr().err


def test_server_bind_later_then_serves(options: dict[str, Any]) -> None:
    server = KeepingServer((GROUP, 0), Keeping, bind_and_activate=False, **options)
    with server:
        assert server.socket.getsockname()[1] == 0
        with pytest.raises(OSError, match="not bound"):
            server.get_request()
        server.server_bind()
        server.server_activate()
        with serving(server):
            say(server, b"hello")
            assert server.payloads(1) == [b"hello"]


def test_server_without_handler_and_binding_can_be_closed() -> None:
    server = McastServer((GROUP, 50000), None, False)  # type: ignore[arg-type]
    assert server.socket.getsockname() == ("0.0.0.0", 0)
    assert server.server_address == (GROUP, 50000)
    assert select.select([server], [], [], 0)[0] in ([], [server])
    server.server_close()
    assert server.fileno() == -1


def test_server_close_twice_is_accepted(options: dict[str, Any]) -> None:
    server = KeepingServer((GROUP, 0), Keeping, **options)
    server.server_close()
    server.server_close()
    assert server.fileno() == -1


def test_two_servers_on_one_port_both_receive(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as one:
        port = one.server_address[1]
        with KeepingServer((GROUP, port), Keeping, **options) as two, serving(one), serving(two):
            say(one, b"hello")
            assert one.payloads(1) == two.payloads(1) == [b"hello"]


def test_server_without_address_reuse_has_the_port_alone(options: dict[str, Any]) -> None:
    class Alone(KeepingServer):
        allow_reuse_address = False

    with (
        Alone((GROUP, 0), Keeping, **options) as one,
        pytest.raises(OSError, match=str(one.server_address[1])) as caught,
    ):
        Alone((GROUP, one.server_address[1]), Keeping, **options)
    assert caught.value.errno == errno.EADDRINUSE


def test_server_failure_to_join_leaves_nothing_open() -> None:
    # The fixture no_leaks checks that nothing stays open.
    with pytest.raises(OSError, match="nosuch0") as caught:
        McastServer((GROUP, 0), Keeping, iface="nosuch0")
    assert caught.value.errno == errno.ENODEV


def test_server_unresolvable_host_raises_os_error() -> None:
    with pytest.raises(OSError, match=r"cannot bind to 'nosuch\.invalid'"):
        McastServer(("nosuch.invalid", 0), Keeping)


def test_server_can_be_passed_to_select(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        assert select.select([server], [], [], 0)[0] == []
        say(server, b"hello")
        assert select.select([server], [], [], PATIENCE)[0] == [server]


def descriptors() -> Iterator[str]:
    """Yield the target of each descriptor of this process."""
    for entry in Path("/proc/self/fd").iterdir():
        # The listing includes the descriptor that read it, which is closed by now.
        with contextlib.suppress(FileNotFoundError):
            yield os.fspath(entry.readlink())


@pytest.mark.platform("linux")
def test_server_keeps_one_socket_for_its_life(options: dict[str, Any]) -> None:
    def sockets() -> set[str]:
        table = Path("/proc/self/net/udp").read_text().splitlines()[1:]
        return set(descriptors()) & {f"socket:[{line.split()[9]}]" for line in table}

    before = sockets()
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        ours = sockets() - before
        assert len(ours) == 1
        with serving(server):
            with Sender(GROUP, server.server_address[1], interface=options["iface"]) as sender:
                sender.send_many([b"x"] * 1000)
            server.payloads(1000)
            assert sockets() - before == ours
    assert sockets() == before


LOAD = """
import socketserver, subprocess, sys
from multicast.hear import McastServer

class Counting(socketserver.BaseRequestHandler):
    count = 0
    def handle(self):
        Counting.count += 1
        if Counting.count == {count}:
            self.server.shutdown()

with McastServer(("{group}", 0), Counting, iface="{iface}") as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
print(Counting.count)
"""

PACED = """
import socket, sys, time
group, iface, port, count, rate = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(iface))
    start, sent = time.perf_counter(), 0
    while sent < count:
        due = min(count, int((time.perf_counter() - start) * rate))
        for _ in range(due - sent):
            sock.sendto(b"x" * 100, (group, port))
        sent = due
"""


@pytest.mark.alone
@pytest.mark.platform("linux")
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("count", "rate"), [(100_000, 20_000)])
def test_server_at_20000_per_second_loses_nothing_with_one_socket(
    tool: Any, tmp_path: Path, loopback: str, count: int, rate: int
) -> None:
    trace = tmp_path / "trace"
    code = LOAD.format(count=count, group=GROUP, iface=loopback)
    strace = [tool("strace"), "-f", "-e", "trace=socket", "-e", "signal=none", "-o", str(trace)]
    with subprocess.Popen(
        [*strace, sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        sending = [sys.executable, "-c", PACED, GROUP, loopback, port, str(count), str(rate)]
        subprocess.run(sending, check=True, timeout=30)
        try:
            out, _ = server.communicate(timeout=15)
        finally:
            server.kill()
    assert out == f"{count}\n"
    opened = re.findall(r"socket\(AF_INET, SOCK_DGRAM.*", trace.read_text())
    assert len(opened) == 1, opened


def test_hear_module_exports_documented_names() -> None:
    assert hear.McastServer is McastServer
    assert issubclass(hear.HearUDPHandler, socketserver.BaseRequestHandler)
