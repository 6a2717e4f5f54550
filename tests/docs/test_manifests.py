"""Test that the container files in the documentation are valid and start the program with valid arguments."""

from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]  # comes with myst-parser; its stubs would be one package more

from multicast.cli import parser
from tests.support.markdown import Block, blocks, documents

BLOCKS = [block for path in documents() for block in blocks(path)]
INSTRUCTIONS = {"FROM", "RUN", "USER", "ENTRYPOINT", "CMD"}


def of(language: str) -> list[Block]:
    found = [block for block in BLOCKS if block.language == language]
    assert found
    return found


def commands(data: object) -> list[list[str]]:
    """Return every command line in ``data`` that a container would start."""
    if isinstance(data, dict):
        known = cast("dict[str, Any]", data)
        own = [known[key] for key in ("command", "args") if key in known]
        return own + [found for value in known.values() for found in commands(value)]
    if isinstance(data, list):
        return [found for value in cast("list[object]", data) for found in commands(value)]
    return []


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_manifest_is_valid_and_its_commands_parse(block: Block) -> None:
    data = yaml.safe_load(block.code)
    assert {"services", "apiVersion"} & data.keys()
    for words in commands(data):
        assert parser.parse(words).command in {"listen", "relay"}


@pytest.mark.parametrize("block", of("dockerfile"), ids=str)
def test_dockerfile_is_valid_and_its_command_parses(block: Block) -> None:
    lines = [line.partition(" ") for line in block.code.splitlines()]
    assert {instruction for instruction, _, _ in lines} <= INSTRUCTIONS
    rest = {instruction: yaml.safe_load(words) for instruction, _, words in lines}
    assert rest["ENTRYPOINT"] == ["multicast"]
    assert parser.parse(rest["CMD"]).command == "listen"
    version = rest["FROM"].removeprefix("python:").removesuffix("-slim")
    assert tuple(map(int, version.split("."))) >= (3, 10)
