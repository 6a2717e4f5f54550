"""Test the 2.x exceptions, the table of exit codes, and the exit code of a process that an exception ends."""

import argparse
import pickle
from typing import NoReturn

import pytest

from multicast import exceptions
from multicast.exceptions import (
    EXCEPTION_EXIT_CODES,
    EXIT_CODES,
    CommandExecutionError,
    ShutdownCommandReceived,
    exit_on_exception,
    get_exit_code_from_exception,
    validate_exit_code,
)

CAUSE = KeyError("the cause")


@pytest.mark.parametrize(
    ("problem", "message", "exit_code", "cause"),
    [
        (CommandExecutionError("it broke", 66), "it broke", 66, None),
        (CommandExecutionError("it broke"), "it broke", 1, None),
        (CommandExecutionError(CAUSE, "it broke", 66), "it broke", 66, CAUSE),
        (CommandExecutionError(CAUSE, "it broke"), "it broke", 1, CAUSE),
        (CommandExecutionError(message="it broke", exit_code=3, __cause__=CAUSE), "it broke", 3, CAUSE),
        (CommandExecutionError("it broke", exit_code=3), "it broke", 3, None),
        (ShutdownCommandReceived(), "SHUTDOWN", 143, None),
        (ShutdownCommandReceived("enough"), "enough", 143, None),
        (ShutdownCommandReceived("enough", 5), "enough", 143, None),
        (ShutdownCommandReceived(CAUSE, "enough", 5), "enough", 143, CAUSE),
        (ShutdownCommandReceived(message="enough", exit_code=5, __cause__=CAUSE), "enough", 143, CAUSE),
    ],
)
def test_exception_every_call_shape_sets_message_code_and_cause(
    problem: CommandExecutionError | ShutdownCommandReceived,
    message: str,
    exit_code: int,
    cause: BaseException | None,
) -> None:
    assert isinstance(problem, RuntimeError)
    assert (problem.message, problem.exit_code, problem.__cause__) == (message, exit_code, cause)
    assert str(problem) == message


@pytest.mark.parametrize(
    "problem", [CommandExecutionError(None), CommandExecutionError(), CommandExecutionError(CAUSE)]
)
def test_command_execution_error_without_message_has_a_default(problem: CommandExecutionError) -> None:
    assert len(problem.message) > 10
    assert "None" not in problem.message


@pytest.mark.parametrize("kind", [CommandExecutionError, ShutdownCommandReceived])
def test_exception_wrong_argument_raises_type_error(
    kind: type[CommandExecutionError] | type[ShutdownCommandReceived],
) -> None:
    with pytest.raises(TypeError, match="exit_code must be int, got str"):
        kind("it broke", "66")
    with pytest.raises(TypeError, match="exit_code must be int, got float"):
        kind("it broke", exit_code=1.5)
    with pytest.raises(TypeError, match="__cause__ must be an exception, got str"):
        kind("it broke", 1, __cause__="a cause")
    with pytest.raises(TypeError, match="got 3 values"):
        kind("it broke", 1, 2)
    with pytest.raises(TypeError, match="takes no keyword 'colour'"):
        kind("it broke", colour="red")


@pytest.mark.parametrize("message", [5, b"enough", ["enough"]])
def test_shutdown_command_received_non_text_message_raises_type_error(message: object) -> None:
    with pytest.raises(TypeError, match="message must be str"):
        ShutdownCommandReceived(message)


@pytest.mark.parametrize(
    "problem", [CommandExecutionError("it broke", 66), ShutdownCommandReceived("enough")]
)
def test_exception_pickled_keeps_message_and_code(
    problem: CommandExecutionError | ShutdownCommandReceived,
) -> None:
    copy = pickle.loads(pickle.dumps(problem))
    assert (type(copy), copy.message, copy.exit_code) == (type(problem), problem.message, problem.exit_code)


@pytest.mark.parametrize("code", [0, 1, 143, 255])
def test_validate_exit_code_in_range_returns_none(code: int) -> None:
    validate_exit_code(code)


@pytest.mark.parametrize("code", [-1, 256, 1000, "1", 1.0, None])
def test_validate_exit_code_out_of_range_raises_value_error(code: int) -> None:
    with pytest.raises(ValueError, match="0-255"):
        validate_exit_code(code)


def test_exit_codes_table_is_the_documented_one() -> None:
    assert {
        0: (None, "Success"),
        1: (RuntimeError, "General Error"),
        2: (OSError, "Misuse of Shell Builtins"),
        64: (argparse.ArgumentError, "Usage Error"),
        65: (ValueError, "Data Error"),
        66: (FileNotFoundError, "No Input"),
        69: (ConnectionError, "Unavailable Service"),
        70: (Exception, "Internal Software Error"),
        77: (PermissionError, "Permission Denied"),
        125: (BaseException, "Critical Failure"),
        126: (AssertionError, "Command Invoked Cannot Execute"),
        127: (ModuleNotFoundError, "Command Not Found"),
        129: (None, "Hangup (SIGHUP)"),
        130: (KeyboardInterrupt, "Interrupt (SIGINT)"),
        134: (None, "Abort (SIGABRT)"),
        137: (None, "Killed (SIGKILL)"),
        141: (BrokenPipeError, "Broken Pipe (SIGPIPE)"),
        143: (SystemExit, "Terminated (SIGTERM)"),
        255: (None, "Exit Status Out of Range"),
    } == EXIT_CODES


def test_exception_exit_codes_holds_every_class_once() -> None:
    expected = {kind: code for code, (kind, _) in EXIT_CODES.items() if kind is not None}
    assert expected == EXCEPTION_EXIT_CODES
    assert len(expected) == 14


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (RuntimeError(), 1),
        (RecursionError(), 1),
        (OSError(), 2),
        (TimeoutError(), 2),
        (argparse.ArgumentError(None, "x"), 64),
        (ValueError(), 65),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), 65),
        (FileNotFoundError(), 66),
        (ConnectionRefusedError(), 69),
        (KeyError(), 70),
        (PermissionError(), 77),
        (GeneratorExit(), 125),
        (AssertionError(), 126),
        (ModuleNotFoundError(), 127),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (SystemExit(3), 143),
        (CommandExecutionError("x", 66), 66),
        (ShutdownCommandReceived(), 143),
        ("no exception", 70),
        (None, 70),
        (ValueError, 70),
    ],
)
def test_get_exit_code_most_specific_class_decides(problem: object, code: int) -> None:
    assert get_exit_code_from_exception(problem) == code


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (ValueError("x"), 65),
        (KeyboardInterrupt(), 130),
        (CommandExecutionError("x", 77), 77),
        (SystemExit(3), 3),
        (SystemExit(0), 0),
        (SystemExit("words"), 2),
        (SystemExit(None), 2),
    ],
)
def test_exit_on_exception_exits_with_code_and_cause(problem: BaseException, code: int) -> None:
    @exit_on_exception
    def fail() -> NoReturn:
        raise problem

    with pytest.raises(SystemExit) as caught:
        fail()
    assert caught.value.code == code
    assert caught.value.__cause__ is problem


def test_exit_on_exception_without_error_returns_the_result() -> None:
    @exit_on_exception
    def add(one: int, *, other: int) -> int:
        """Add."""
        return one + other

    assert add(1, other=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Add.")


def test_exceptions_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'EXIT_CODE'"):
        exceptions.EXIT_CODE  # type: ignore[attr-defined]  # noqa: B018 - getting it is the test
