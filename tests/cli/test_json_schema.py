"""The JSON output of the commands, compared with the schema that the package ships."""

import json
import time
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from multicast import Sender
from multicast.apps.numbered import numbered
from tests.cli.running import GROUP, run, start

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
