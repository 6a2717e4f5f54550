"""Run the examples for asyncio, trio and anyio as programs, and test their recipes."""

import json
import os
import random
import signal
import sys
from types import ModuleType

import anyio
import pytest
import trio

from examples import anyio_listen, trio_listen
from tests.support.private_network import ROOT
from tests.support.programs import Program
from tests.wire.exchange import LOOPBACK, PATIENCE

EXAMPLES = ROOT / "examples"


def python(name: str, *arguments: str) -> list[str]:
    return [sys.executable, os.fspath(EXAMPLES / name), *arguments]


def test_asyncio_service_example_counts_reports_and_ends(free_port: int) -> None:
    with LOOPBACK.receiver() as reports, LOOPBACK.sender(free_port) as tx:
        endpoints = [f"{LOOPBACK.group}:{port}" for port in (free_port, reports.port)]
        with Program(
            python("asyncio_service.py", *endpoints, LOOPBACK.interface, "--every", "0.01")
        ) as service:
            service.line_with("counting")
            assert json.loads(reports.recv(PATIENCE).data) == {}
            tx.send_many([b"one"] * 25)
            while not (totals := json.loads(reports.recv(PATIENCE).data)) or sum(totals.values()) < 25:
                assert service.running
            assert list(totals.values()) == [25]
            service.interrupt(signal.SIGTERM)
            assert service.finish() == 0
            assert "25 datagrams, senders: 1, dropped here: 0" in service.out
            assert service.err == ""


LISTENERS: list[tuple[str, ...]] = [("trio_listen.py",), ("anyio_listen.py", "trio")]
if sys.version_info >= (3, 11):
    # Before Python 3.11, anyio on asyncio ends a program at Ctrl-C with the traceback of a CancelledError.
    LISTENERS.append(("anyio_listen.py", "asyncio"))


@pytest.mark.parametrize("command", LISTENERS, ids=" ".join)
def test_listen_example_prints_datagrams_until_ctrl_c(command: tuple[str, ...], free_port: int) -> None:
    name, *backend = command
    arguments = [f"{LOOPBACK.group}:{free_port}", LOOPBACK.interface, *backend]
    with Program(python(name, *arguments)) as listener, LOOPBACK.sender(free_port) as tx:
        listener.line_with("listening")
        tx.send(b"hello")
        assert listener.line_with("hello") == "127.0.0.1 hello\n"
        tx.send(b"\xff")
        listener.line_with("\\xff")
        listener.interrupt()
        assert listener.finish() == 0
        assert listener.out.endswith("stopped\n")
        assert listener.err == ""


RECIPES = {
    "trio": (trio_listen, "trio", trio.ClosedResourceError),
    "anyio-asyncio": (anyio_listen, "asyncio", anyio.ClosedResourceError),
    "anyio-trio": (anyio_listen, "trio", anyio.ClosedResourceError),
}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> tuple[ModuleType, str, type[Exception]]:
    """Return a module with a recipe, its backend, and the error that a waiting task gets at a close."""
    return RECIPES[request.param]


# The unread datagrams of this test would use up the blocks of a packet receiver.
@pytest.mark.udp_sockets
def test_recipe_cancelled_receives_lose_nothing(recipe: tuple[ModuleType, str, type[Exception]]) -> None:
    module, backend, _ = recipe

    async def main() -> tuple[int, int]:
        chance = random.Random(3)
        found: list[bytes] = []
        sent = cancelled = 0

        async def receive(seconds: float) -> None:
            nonlocal cancelled
            with anyio.move_on_after(seconds) as scope:
                found.extend((await module.receive(rx, chance.randint(1, 4))).payloads())
            cancelled += scope.cancelled_caught

        with LOOPBACK.pair() as (tx, rx):
            while cancelled < 300:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(receive, chance.choice([0, 0.001, 0.003]))
                    await anyio.sleep(chance.choice([0, 0.0005, 0.002]))
                    burst = chance.randint(0, 3)
                    tx.send_many(b"%d" % number for number in range(sent, sent + burst))
                    sent += burst
            with anyio.move_on_after(PATIENCE):
                while len(found) < sent:
                    found.extend((await module.receive(rx)).payloads())
        assert sorted(found, key=int) == [b"%d" % number for number in range(sent)]
        return sent, cancelled

    sent, cancelled = anyio.run(main, backend=backend)
    assert sent > 100
    assert cancelled >= 300


def test_recipe_close_wakes_the_waiting_task(recipe: tuple[ModuleType, str, type[Exception]]) -> None:
    module, backend, closed = recipe

    async def main() -> None:
        woken: list[bool] = []

        async def receive() -> None:
            with pytest.raises(closed):
                await module.receive(rx)
            woken.append(True)

        with LOOPBACK.receiver() as rx:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await anyio.sleep(0.01)
                module.close(rx)
                module.close(rx)
            assert woken == [True]

    anyio.run(main, backend=backend)
