"""The JSON output of the commands, compared with the schema that the package ships."""

import json
import signal
import time
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from multicast import Sender
from multicast.apps.diagnosis.finding import CAUSES
from multicast.apps.numbered import numbered
from tests.cli.running import GROUP, run, start
from tests.support import waiting

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

SCHEMA: dict[str, Any] = json.loads(files("multicast.cli").joinpath("output.schema.json").read_text("utf-8"))


def check(text: "str | bytes") -> set[str]:
    """Validate each line; return the types that occurred."""
    validator = import_module("jsonschema").Draft202012Validator(SCHEMA)
    kinds: set[str] = set()
    for line in text.splitlines():
        record = json.loads(line)
        problems = [error.message for error in validator.iter_errors(record)]
        assert not problems, (record, problems)
        assert next(iter(record)) == "type"
        kinds.add(record["type"])
    return kinds


def test_schema_is_valid() -> None:
    import_module("jsonschema").Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "record",
    [
        {"type": "unheard-of"},
        {"type": "summary", "received": 1},
        {"type": "datagram", "sender": "x"},
        {"type": "interface", "name": 1},
        {"type": "finding", "cause": "bad-luck", "confidence": "proven", "proof": {}, "fix": "", "text": "x"},
        {"type": "reply", "host": "10.0.0.1", "kind": "unicast", "seq": 1},
        {"type": "summary", "hosts": 1},
        {"type": "summary", "sent": 1, "hosts": 1, "unheard_of": 1},
        {},
    ],
    ids=str,
)
def test_schema_rejects_other_records(record: dict[str, object]) -> None:
    assert not import_module("jsonschema").Draft202012Validator(SCHEMA).is_valid(record)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (["listen", "EP", "-c", "3", "--json"], ["datagram", "summary"]),
        (["measure", "EP", "-c", "3", "--json", "--report", "REPORT"], ["summary"]),
        (["top", "EP", "-n", "1", "-d", "3", "--json"], ["stream", "summary"]),
    ],
    ids=str,
)
def test_output_of_a_receiving_command_has_the_schema(
    words: list[str], kinds: list[str], free_port: int, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    given = {"EP": f"{GROUP}:{free_port}%lo", "REPORT": str(report)}
    with start(*(given.get(word, word) for word in words)) as program:
        program.until_joined(GROUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([numbered(1, 0, time.time_ns()), b"\xff" * 30, numbered(1, 3, time.time_ns())])
        assert program.finish() == 0
    assert check(program.out) == set(kinds)
    if "REPORT" in words:
        assert check(report.read_text()) == {"gap", "summary"}


def test_output_of_the_other_commands_has_the_schema(free_port: int) -> None:
    assert check(run("interfaces", "--json").stdout) == {"interface", "summary"}
    assert check(run("send", f"{GROUP}:{free_port}%lo", "x", "--json").stdout) == {"summary"}
    assert check(run("listen", f"{GROUP}:{free_port}%lo", "-d", "0", "--json").stdout) == {"summary"}


def test_causes_of_the_schema_are_those_of_doctor() -> None:
    assert tuple(SCHEMA["$defs"]["finding"]["properties"]["cause"]["enum"]) == CAUSES


def test_output_of_ping_has_the_schema() -> None:
    with start("ping", f"{GROUP}%lo", "--answer", "--json") as responder:
        responder.until_joined(GROUP)
        done = run("ping", f"{GROUP}%lo", "-c", "2", "--interval", "0.05", "-t", "0.3", "--json")
        responder.interrupt()
        assert responder.finish() == 130
    assert check(done.stdout) == {"reply", "host", "summary"}
    assert check(responder.out) == {"answer", "summary"}


@pytest.mark.parametrize("words", [[], ["--peer", "127.0.0.1"]], ids=["alone", "peer"])
def test_output_of_doctor_has_the_schema(words: list[str], free_port: int) -> None:
    with start("doctor", "--serve", "--json") as server:
        waiting.until(lambda: "serving" in server.err, "the server to be ready")
        done = run("doctor", f"{GROUP}:{free_port}%lo", "-d", "0.3", "--json", *words)
        server.interrupt()
        assert server.finish() == 130
    assert check(done.stdout) == {"finding", "summary"}
    assert check(server.out) == ({"request", "summary"} if words else {"summary"})


def test_output_of_record_and_replay_has_the_schema(free_port: int, tmp_path: Path) -> None:
    file = str(tmp_path / "feed.pcapng")
    with start("record", f"{GROUP}:{free_port}%lo", "-o", file, "-c", "2", "--json") as program:
        program.until_joined(GROUP)
        program.interrupt(signal.SIGUSR1)
        assert json.loads(program.line())["type"] == "interim"
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"one", b"two"])
        assert program.finish() == 0
    assert check(program.out) == {"interim", "summary"}
    assert check(run("replay", file, "-i", "lo", "--flat-out", "--json").stdout) == {"summary"}


def test_output_of_relay_has_the_schema(free_port: int) -> None:
    words = [f"{GROUP}:{free_port}%lo", "--to", f"udp://127.0.0.1:{free_port}", "-d", "0.2", "--json"]
    assert check(run("relay", *words).stdout) == {"leg", "summary"}
