"""Helpers for the tests of diagnoses: look, check the proof, follow the fix. No tests."""

import contextlib
import shlex
import threading
from collections.abc import Callable, Generator
from typing import Any, cast

from multicast.apps.diagnosis import Diagnosis, Finding, diagnose
from multicast.apps.diagnosis.serving import Server
from tests.support.background import running
from tests.wire.lab import Lab, feed
from tests.wire.places import on

GROUP, GROUP6, PORT = "239.7.8.9", "ff15::7:8:9", 50_789
HERE = f"{GROUP}:{PORT}%eth0"
LISTEN = 0.4

Check = Callable[[Any], bool]


def positive(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def starting(text: str) -> Check:
    def check(value: Any) -> bool:
        return bool(value[0].startswith(text))

    return check


def several(value: Any) -> bool:
    return len(value) > 1


def agrees(actual: Any, expected: Any) -> bool:
    """Return whether a value of a proof is the expected one; functions check, and dictionaries are compared deeply."""
    if callable(expected):
        return bool(expected(actual))
    if isinstance(expected, dict):
        entries = cast("dict[str, Any]", expected)
        return all(key in actual and agrees(actual[key], value) for key, value in entries.items())
    return bool(actual == expected)


def sending(net: Lab, options: "dict[str, Any]") -> "contextlib.AbstractContextManager[None]":
    settings: dict[str, Any] = {"group": GROUP, "port": PORT, **options}
    return feed(net.far, **settings)


def examine(net: Lab, endpoint: str, duration: float = LISTEN) -> Diagnosis:
    with on(net.near):
        return diagnose(endpoint, duration=duration)


def follow(net: Lab, fix: str, endpoint: str) -> str:
    """Do what a fix says, and return the endpoint to listen to now."""
    words = shlex.split(fix)
    if words[:2] == ["multicast", "listen"]:
        return words[2]
    done = net.near.run("bash", "-ec", fix)
    assert (done.returncode, done.stderr) == (0, "")
    return endpoint


def only(found: Diagnosis, cause: str) -> Finding:
    """Return the only finding, which names ``cause``."""
    assert [one.cause for one in found.findings] == [cause], found
    return found.findings[0]


@contextlib.contextmanager
def serving(net: Lab) -> Generator[None, None, None]:
    """Run the other end on the far host during the block."""
    with on(net.far):
        server = Server()

    def run(over: threading.Event) -> None:
        with on(net.far), server:
            for _ in server.served(over.is_set):
                pass

    with running(run):
        yield
