"""Test ``mtool``, the abstract base class of the 2.x tools."""

import argparse
import logging
import pickle
from typing import Any

import pytest

from multicast import hear, mtool, recv, send


class Counter(mtool):
    """Return the arguments that it is called with."""

    __proc__ = "COUNT"
    __prologue__ = "Counts."
    __epilogue__ = "That is all."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:  # noqa: N802
        if parser is not None:
            parser.add_argument("--step", type=int, default=1)

    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:  # noqa: N802
        return True, (args, kwargs)


def test_mtool_instantiated_directly_raises_type_error() -> None:
    with pytest.raises(TypeError, match="abstract"):
        mtool()  # type: ignore[abstract]
    assert (mtool.__proc__, mtool.__prologue__, mtool.__epilogue__) == (None, None, None)


def test_tool_called_runs_do_step() -> None:
    assert Counter()(1, 2, three=3) == (True, ((1, 2), {"three": 3}))


def test_build_args_without_parser_describes_the_tool() -> None:
    parser = Counter.buildArgs(None)
    assert isinstance(parser, argparse.ArgumentParser)
    assert (parser.prog, parser.description, parser.epilog) == ("COUNT", "Counts.", "That is all.")
    assert parser.parse_args(["--step", "3"]).step == 3


def test_build_args_with_parser_adds_options_to_it() -> None:
    parser = argparse.ArgumentParser(prog="mine")
    assert Counter.buildArgs(parser) is parser
    assert parser.parse_args([]).step == 1


def test_parse_args_unknown_words_are_returned_as_extras() -> None:
    options, extras = Counter.parseArgs(["--step", "2", "left", "--over"])
    assert (options.step, extras) == (2, ["left", "--over"])
    assert Counter.parseArgs(None)[0].step == 1


def test_parse_args_bad_value_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        Counter.parseArgs(["--step", "many"])
    assert caught.value.code == 2
    assert "--step" in capsys.readouterr().err


def test_check_tool_args_any_sequence_becomes_a_list() -> None:
    assert Counter.checkToolArgs(None) == [None]
    assert Counter.checkToolArgs(("a", "b")) == ["a", "b"]
    assert Counter.checkToolArgs([]) == []


TOOLS: list[type[mtool]] = [send.McastSAY, recv.McastRECV, hear.McastHEAR]


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_class_is_described_and_can_be_pickled(tool: type[mtool]) -> None:
    assert tool.__proc__ == tool.__name__.removeprefix("Mcast")
    assert tool.__prologue__
    assert tool.__epilogue__
    assert type(pickle.loads(pickle.dumps(tool()))) is tool


@pytest.mark.parametrize("tool", TOOLS)
def test_setup_args_none_is_accepted(tool: type[mtool]) -> None:
    tool.setupArgs(None)
    assert tool.buildArgs(None).prog == tool.__proc__


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_parse_args_reads_port_groups_and_interface(tool: type[mtool]) -> None:
    options, extras = tool.parseArgs(
        ["--port", "50000", "--group", "239.1.2.3", "--iface", "eth0", "--groups", "239.1.1.1", "239.2.2.2"]
    )
    assert extras == []
    assert (options.port, options.group, options.iface) == (50000, "239.1.2.3", "eth0")
    assert options.groups == ["239.1.1.1", "239.2.2.2"]


def test_tool_unused_keyword_is_logged_as_warning(caplog: pytest.LogCaptureFixture) -> None:
    tool = Counter()
    with caplog.at_level(logging.WARNING, "multicast"):
        tool._log_unused({"prot": 5, "colour": "red"})
        tool._log_unused({"is_daemon": True, "is_std": False})
    assert [record.getMessage() for record in caplog.records] == ["COUNT does not use colour, prot."]
