"""Test ``Datagram`` as a plain value, without sockets."""

import copy
import pickle
from typing import Any

import pytest

from multicast._core import Datagram

FIELDS: dict[str, Any] = {
    "data": b"\x00\xffpayload",
    "sender": ("192.0.2.1", 4000),
    "group": "239.1.2.3",
    "interface": "eth0",
    "interface_index": 2,
    "timestamp_ns": 1_700_000_000_123_456_789,
    "ttl": 9,
    "truncated": False,
}
OTHERS: dict[str, Any] = {
    "data": b"other",
    "sender": ("192.0.2.1", 4001),
    "group": "239.1.2.4",
    "interface": "eth1",
    "interface_index": 3,
    "timestamp_ns": None,
    "ttl": None,
    "truncated": True,
}


def made(fields: dict[str, Any]) -> Datagram:
    return Datagram(**fields)


def test_datagram_fields_hold_the_given_values() -> None:
    datagram = Datagram(**FIELDS)
    assert {name: getattr(datagram, name) for name in FIELDS} == FIELDS


def test_datagram_unknown_fields_are_none() -> None:
    datagram = Datagram(b"", ("192.0.2.1", 4000))
    optional = ("group", "interface", "interface_index", "timestamp_ns", "ttl")
    assert [getattr(datagram, name) for name in optional] == [None] * len(optional)
    assert datagram.truncated is False


def test_datagram_largest_numbers_are_kept() -> None:
    largest: dict[str, Any] = {"interface_index": 2**32 - 1, "timestamp_ns": 2**63 - 1, "ttl": 255}
    datagram = made(FIELDS | largest)
    assert {name: getattr(datagram, name) for name in largest} == largest


@pytest.mark.parametrize("name", FIELDS)
def test_datagram_field_assignment_raises_attribute_error(name: str) -> None:
    datagram = Datagram(**FIELDS)
    with pytest.raises(AttributeError, match=r"readonly|not writable"):
        setattr(datagram, name, FIELDS[name])


def test_datagram_new_attribute_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="note"):
        Datagram(**FIELDS).note = "seen"  # type: ignore[attr-defined]


def test_datagram_bytes_and_len_return_those_of_data() -> None:
    datagram = Datagram(**FIELDS)
    assert bytes(datagram) is datagram.data
    assert len(datagram) == len(FIELDS["data"])


def test_datagram_without_data_is_true() -> None:
    empty = Datagram(b"", ("192.0.2.1", 4000))
    assert len(empty) == 0
    assert bool(empty) is True


def test_datagram_equal_fields_compare_and_hash_equal() -> None:
    one, two = Datagram(**FIELDS), Datagram(**FIELDS)
    assert one == two
    assert hash(one) == hash(two)
    assert {one, two} == {one}


@pytest.mark.parametrize("name", FIELDS)
def test_datagram_different_field_compares_unequal(name: str) -> None:
    assert Datagram(**FIELDS) != Datagram(**(FIELDS | {name: OTHERS[name]}))


@pytest.mark.parametrize(
    "other", [FIELDS["data"], None, tuple(FIELDS.values())], ids=["bytes", "None", "tuple"]
)
def test_datagram_compared_to_other_type_is_unequal(other: object) -> None:
    assert Datagram(**FIELDS) != other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_datagram_pickled_loads_equal(protocol: int) -> None:
    datagram = Datagram(**FIELDS)
    assert pickle.loads(pickle.dumps(datagram, protocol)) == datagram


def test_datagram_copy_is_equal() -> None:
    datagram = Datagram(**FIELDS)
    assert copy.copy(datagram) == datagram
    assert copy.deepcopy(datagram) == datagram


@pytest.mark.parametrize("fields", [FIELDS, OTHERS], ids=["known", "unknown"])
def test_datagram_repr_evaluates_to_equal_datagram(fields: dict[str, Any]) -> None:
    datagram = Datagram(**fields)
    assert eval(repr(datagram), {"Datagram": Datagram}) == datagram


def test_datagram_repr_of_long_payload_shows_64_bytes() -> None:
    datagram = made(FIELDS | {"data": b"x" * 64 + b"secret"})
    assert f"data={b'x' * 64!r}... (70 bytes), sender=" in repr(datagram)
    assert "secret" not in repr(datagram)
    assert repr(made(FIELDS | {"data": b"x" * 64})).startswith(f"Datagram(data={b'x' * 64!r}, sender=")


@pytest.mark.parametrize(
    ("field", "wrong", "error"),
    [
        ("data", "text", TypeError),
        ("data", bytearray(b"x"), TypeError),
        ("sender", ["192.0.2.1", 4000], TypeError),
        ("group", 5, TypeError),
        ("interface", 5, TypeError),
        ("interface_index", -1, OverflowError),
        ("ttl", 256, OverflowError),
        ("truncated", 1, TypeError),
    ],
)
def test_datagram_wrong_type_or_range_raises(field: str, wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Datagram(**(FIELDS | {field: wrong}))
