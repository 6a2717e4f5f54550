"""Test the public face of the package: its names, signatures, subclasses, and what help shows."""

import collections.abc
import dataclasses
import inspect
import pydoc
import re
from collections.abc import Callable
from typing import Any

import pytest

import multicast
from multicast import _core

RECEIVER_API = {
    "Receiver", "Sender", "Datagram", "Batch", "ReceiverStats", "SenderStats", "Membership", "Interface",
    "InterfaceEvent", "InterfaceWatch", "watch_interfaces", "Endpoint", "interfaces", "aio", "capture", "relay",
    "MulticastError", "ClosedError", "UnsupportedError",
}  # fmt: skip
LEGACY_API = {
    "EXCEPTION_EXIT_CODES", "EXIT_CODES", "__version__", "endSocket", "env", "exceptions", "exit_on_exception",
    "genSocket", "get_exit_code_from_exception", "hear", "mtool", "recv", "send", "skt",
}  # fmt: skip
CLASSES = [multicast.Receiver, multicast.Sender, multicast.aio.Receiver, multicast.aio.Sender]
RESULTS = [multicast.ReceiverStats, multicast.SenderStats, multicast.Membership, multicast.Interface]


def test_package_dir_lists_public_names_only() -> None:
    constants = {name for name in dir(multicast) if name.startswith(("_MCAST_DEFAULT_", "_BLANK"))}
    assert set(dir(multicast)) == RECEIVER_API | LEGACY_API | constants
    assert dir(multicast) == sorted(multicast.__all__)


@pytest.mark.parametrize(
    "name", sorted(RECEIVER_API - {"interfaces", "watch_interfaces", "aio", "capture", "relay"})
)
def test_help_of_public_class_shows_no_private_name(name: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(multicast, name)))
    # The parameters of constructors of compiled types are the exception: Python shows them.
    assert re.findall(r"^ \|  (_[a-z]\w*)", text, re.MULTILINE) == []


@pytest.mark.parametrize("public", [multicast, multicast.aio, *CLASSES, multicast.Batch], ids=str)
def test_docstring_is_readable_in_a_terminal_of_80_columns(public: object) -> None:
    members = [] if inspect.ismodule(public) else inspect.getmembers(public)
    documented = [public, *(member for name, member in members if not name.startswith("_"))]
    lines = [line for one in documented for line in (inspect.getdoc(one) or "").splitlines()]
    assert [line for line in lines if len(line) > 76] == []


@pytest.mark.parametrize(
    "public", [*CLASSES, *RESULTS, multicast.Datagram, multicast.Batch, multicast.Endpoint], ids=str
)
def test_class_docstring_begins_with_a_five_line_example(public: type) -> None:
    first, blank, mark, blank_again, *rest = inspect.cleandoc(public.__doc__ or "").splitlines()
    assert first.endswith(".")
    assert (blank, mark, blank_again) == ("", "::", "")
    example = [line for line in rest[: [*rest, ""].index("")] if line.startswith("    ")]
    assert 4 <= len(example) <= 6


@pytest.mark.parametrize("public", CLASSES, ids=str)
def test_constructor_signature_names_every_option(public: Callable[..., Any]) -> None:
    parameters = inspect.signature(public).parameters
    assert list(parameters)[:3] == ["group", "port", "interface"]
    assert all(one.kind is not one.VAR_KEYWORD for one in parameters.values())


def test_aio_has_the_names_and_signatures_of_sync() -> None:
    for ours, theirs in (
        (multicast.aio.Receiver, multicast.Receiver),
        (multicast.aio.Sender, multicast.Sender),
    ):
        missing = {name for name in dir(theirs) if not name.startswith("_")} - set(dir(ours))
        assert missing == set()
        assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert str(inspect.signature(multicast.aio.Receiver.adopt)) == str(
        inspect.signature(multicast.Receiver.adopt)
    )


def test_receiver_subclass_with_its_own_arguments_opens(loopback: str) -> None:
    class Named(multicast.Receiver):
        def __init__(self, name: str, *, extra: int) -> None:  # pyright: ignore[reportInconsistentConstructor]
            super().__init__("239.1.2.3", 0, interface=loopback)
            self.name, self.extra = name, extra

    with Named("feed", extra=3) as rx:
        assert (rx.name, rx.extra, rx.closed) == ("feed", 3, False)
        assert repr(rx) == f"<Named on port {rx.port}: 239.1.2.3>"


def test_sender_subclass_with_its_own_arguments_opens(loopback: str) -> None:
    class Named(multicast.Sender):
        def __init__(self, name: str) -> None:  # pyright: ignore[reportInconsistentConstructor]
            super().__init__("239.1.2.3", 5000, interface=loopback, ttl=3)
            self.name = name

    with Named("feed") as tx:
        assert (tx.name, tx.group, tx.port, tx.ttl) == ("feed", "239.1.2.3", 5000, 3)


@pytest.mark.parametrize("public", [multicast.Receiver, multicast.Sender])
def test_object_without_init_is_closed_and_says_so(public: Any) -> None:
    unopened = public.__new__(public)
    assert unopened.closed
    assert repr(unopened) == f"<{public.__name__}, not opened>"
    unopened.close()
    with pytest.raises(RuntimeError, match=rf"{public.__name__}.__init__\(\) was not called"):
        unopened.fileno()


def test_init_of_open_receiver_raises_runtime_error(loopback: str) -> None:
    with multicast.Receiver("239.1.2.3", 0, interface=loopback) as rx:
        with pytest.raises(RuntimeError, match="already open"):
            rx.__init__("239.1.2.4", 0, interface=loopback)  # type: ignore[misc]
        assert [membership.group for membership in rx.groups] == ["239.1.2.3"]


@pytest.mark.parametrize("result", [*RESULTS, multicast.Endpoint], ids=str)
def test_result_types_are_frozen_slotted_dataclasses(result: Any) -> None:
    names = [field.name for field in dataclasses.fields(result)]
    made = result(**dict.fromkeys(names))
    assert not hasattr(made, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, names[0], 1)


def test_errors_are_os_errors_of_one_family() -> None:
    assert issubclass(multicast.MulticastError, OSError)
    assert (
        multicast.ClosedError.__bases__ == multicast.UnsupportedError.__bases__ == (multicast.MulticastError,)
    )


def test_compiled_batch_is_a_registered_sequence() -> None:
    assert issubclass(_core.Batch, collections.abc.Sequence)


@pytest.mark.parametrize("public", [multicast.aio.Receiver, multicast.aio.Sender])
def test_aio_object_in_a_plain_with_block_says_async_with(public: Any, loopback: str) -> None:
    opened = public("239.1.2.3", 5000, interface=loopback)
    try:
        with pytest.raises(TypeError, match="use 'async with'"), opened:
            pass
    finally:
        opened.close()
