"""Test how ``McastServer`` serves: in several threads, with hooks that change while it serves, and after a fork."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from multicast import Sender
from multicast.hear import McastServer
from tests.legacy.serving import GROUP, PATIENCE, Keeping, KeepingServer, say, serving
from tests.support import waiting
from tests.support.programs import Program, argv_for

HOOKS = (
    "get_request",
    "verify_request",
    "process_request",
    "finish_request",
    "shutdown_request",
    "close_request",
    "service_actions",
)


@pytest.fixture
def options(loopback: str) -> dict[str, Any]:
    return {"iface": loopback}


def threads_of(server: McastServer, count: int) -> list[threading.Thread]:
    """Start threads that serve."""
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def until_ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_server_shutdown_waits_for_every_serving_thread(options: dict[str, Any]) -> None:
    busy, go_on = threading.Event(), threading.Event()

    class Slow(Keeping):
        def handle(self) -> None:
            busy.set()
            assert go_on.wait(PATIENCE)
            super().handle()

    with KeepingServer((GROUP, 0), Slow, **options) as server:
        threads = threads_of(server, 3)
        say(server, b"one")
        assert busy.wait(PATIENCE)
        ended = threading.Thread(target=server.shutdown)
        ended.start()
        # The other two threads end; shutdown waits for the one that still handles a datagram.
        waiting.until(lambda: sum(thread.is_alive() for thread in threads) == 1, "two threads to end")
        assert ended.is_alive()
        go_on.set()
        until_ended([ended, *threads])
        assert server.payloads(1) == [b"one"]


def test_server_handlers_in_two_serving_threads_may_both_shut_down(options: dict[str, Any]) -> None:
    both = threading.Barrier(2)

    class Stopping(Keeping):
        def handle(self) -> None:
            both.wait(PATIENCE)
            self.server.shutdown()

    with KeepingServer((GROUP, 0), Stopping, **options) as server:
        threads = threads_of(server, 2)
        say(server, b"one")
        waiting.until(lambda: both.n_waiting, "the first handler to be called")
        say(server, b"two")
        until_ended(threads)


def test_server_several_threads_handle_each_datagram_once(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        payloads = [b"%d" % number for number in range(2000)]
        threads = threads_of(server, 3)
        try:
            with Sender(GROUP, server.server_address[1], interface=options["iface"], rate=10_000) as sender:
                sender.send_many(payloads)
            assert sorted(server.payloads(2000)) == sorted(payloads)
        finally:
            server.shutdown()
            until_ended(threads)


def test_server_after_shutdown_of_several_threads_serves_again(options: dict[str, Any]) -> None:
    with KeepingServer((GROUP, 0), Keeping, **options) as server:
        threads = threads_of(server, 2)
        say(server, b"one")
        assert server.payloads(1) == [b"one"]
        server.shutdown()
        until_ended(threads)
        with serving(server):
            say(server, b"two")
            assert server.payloads(1) == [b"two"]


@pytest.mark.parametrize("name", HOOKS)
def test_server_hook_set_by_a_handler_is_called_from_the_next_datagram_on(
    options: dict[str, Any], name: str
) -> None:
    called: list[int] = []

    class Setting(Keeping):
        def handle(self) -> None:
            super().handle()
            if self.request[0] == b"2":
                plain = getattr(self.server, name)

                def hook(*args: Any) -> Any:
                    called.append(self.server.kept.qsize())
                    return plain(*args)

                setattr(self.server, name, hook)

    with KeepingServer((GROUP, 0), Setting, **options) as server:
        say(server, *[b"%d" % number for number in range(6)])
        with serving(server):
            waiting.until(lambda: server.kept.qsize() == 6 and bool(called), "the hook to be called")
        # Datagrams 0 to 2 were handled before, all in one batch.
        assert called[0] in (3, 4)


def test_server_hook_patched_on_the_class_while_serving_is_called(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = threading.Event()
    with KeepingServer((GROUP, 0), Keeping, **options) as server, serving(server):
        say(server, b"one")
        assert server.payloads(1) == [b"one"]

        def verify(self: Any, request: Any, client_address: Any) -> bool:
            called.set()
            return True

        monkeypatch.setattr(KeepingServer, "verify_request", verify)
        say(server, b"two")
        assert server.payloads(1) == [b"two"]
        assert called.is_set()


@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.parametrize("group", ["ff02::4:3:1", "ff15::4:3:1"])
def test_server_address_with_scope_can_be_given_back(group: str) -> None:
    index = socket.if_nametoindex("veth0")
    with KeepingServer((group, 0, 0, index), Keeping) as server:
        address = server.server_address
        assert server._receiver is not None
        assert [one.interface for one in server._receiver.groups] == ["veth0"]
    with KeepingServer(address, Keeping) as again, serving(again):
        assert again.server_address == address
        with Sender(group, address[1], interface="veth0") as sender:
            sender.send(b"hello")
        assert again.payloads(1) == [b"hello"]


@pytest.mark.private_net
@pytest.mark.platform("linux")
def test_server_iface_is_used_instead_of_the_scope() -> None:
    index = socket.if_nametoindex("veth0")
    with KeepingServer(("ff15::4:3:1", 0, 0, index), Keeping, iface="lo") as server:
        assert server._receiver is not None
        assert [one.interface for one in server._receiver.groups] == ["lo"]


@pytest.mark.private_net
@pytest.mark.platform("linux")
def test_server_link_local_host_with_scope_is_bound_there() -> None:
    own = next(
        line.split()[0]
        for line in Path("/proc/net/if_inet6").read_text().splitlines()
        if line.split()[-1] == "veth0" and line.startswith("fe80")
    )
    host = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(own))
    with KeepingServer((host, 0, 0, socket.if_nametoindex("veth0")), Keeping) as server, serving(server):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", server.server_address)
        assert server.payloads(1) == [b"hello"]


FORKING = """
import socketserver
from multicast.hear import HearUDPHandler, McastServer

class Forking(socketserver.ForkingMixIn, McastServer):
    pass

for _ in range(2):
    with Forking(("{group}", 0), HearUDPHandler, iface="{iface}") as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
print("ended", flush=True)
"""


@pytest.mark.platform("linux")
def test_forking_server_ends_on_stop(loopback: str) -> None:
    with Program(argv_for("python", FORKING.format(group=GROUP, iface=loopback))) as program:
        for _ in range(2):
            with Sender(GROUP, int(program.line()), interface=loopback) as sender:
                sender.send(b"not yet")
                sender.send(b"STOP")
        assert program.finish(timeout=10) == 0, program.err
        assert program.out.endswith("ended\n")
