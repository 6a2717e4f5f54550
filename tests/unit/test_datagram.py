"""``Datagram`` as a plain value: no sockets."""

import copy
import pickle
from typing import Any

import pytest

from multicast._core import Datagram

FIELDS: dict[str, Any] = {
    "data": b"\x00\xffpayload",
    "sender": ("192.0.2.1", 4000),
    "group": "239.1.2.3",
    "interface": 2,
    "timestamp_ns": 1_700_000_000_123_456_789,
    "ttl": 9,
    "truncated": False,
}
OTHERS: dict[str, Any] = {
    "data": b"other",
    "sender": ("192.0.2.1", 4001),
    "group": "239.1.2.4",
    "interface": 3,
    "timestamp_ns": None,
    "ttl": None,
    "truncated": True,
}


def test_it_holds_what_it_was_given() -> None:
    datagram = Datagram(**FIELDS)
    assert {name: getattr(datagram, name) for name in FIELDS} == FIELDS


def test_what_nobody_told_is_none() -> None:
    datagram = Datagram(b"", ("192.0.2.1", 4000))
    unknown = (datagram.group, datagram.interface, datagram.timestamp_ns, datagram.ttl, datagram.truncated)
    assert unknown == (None, None, None, None, False)


def test_the_whole_range_of_each_figure_fits() -> None:
    largest = {"interface": 2**32 - 1, "timestamp_ns": 2**63 - 1, "ttl": 255}
    datagram = Datagram(**(FIELDS | largest))
    assert {name: getattr(datagram, name) for name in largest} == largest


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_can_be_set(name: str) -> None:
    datagram = Datagram(**FIELDS)
    with pytest.raises(AttributeError, match=r"readonly|not writable"):
        setattr(datagram, name, FIELDS[name])


def test_no_attribute_can_be_added() -> None:
    with pytest.raises(AttributeError, match="note"):
        Datagram(**FIELDS).note = "seen"  # type: ignore[attr-defined]


def test_bytes_and_length_are_those_of_the_payload() -> None:
    datagram = Datagram(**FIELDS)
    assert bytes(datagram) is datagram.data
    assert len(datagram) == len(FIELDS["data"])


def test_an_empty_datagram_is_true() -> None:
    empty = Datagram(b"", ("192.0.2.1", 4000))
    assert len(empty) == 0
    assert bool(empty) is True


def test_equal_fields_make_equal_datagrams_with_equal_hashes() -> None:
    one, two = Datagram(**FIELDS), Datagram(**FIELDS)
    assert one == two
    assert hash(one) == hash(two)
    assert {one, two} == {one}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_counts_for_equality(name: str) -> None:
    assert Datagram(**FIELDS) != Datagram(**(FIELDS | {name: OTHERS[name]}))


@pytest.mark.parametrize(
    "other", [FIELDS["data"], None, tuple(FIELDS.values())], ids=["bytes", "None", "tuple"]
)
def test_it_equals_nothing_but_a_datagram(other: object) -> None:
    assert Datagram(**FIELDS) != other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_comes_back_from_pickle(protocol: int) -> None:
    datagram = Datagram(**FIELDS)
    assert pickle.loads(pickle.dumps(datagram, protocol)) == datagram


def test_it_can_be_copied() -> None:
    datagram = Datagram(**FIELDS)
    assert copy.copy(datagram) == datagram
    assert copy.deepcopy(datagram) == datagram


@pytest.mark.parametrize("fields", [FIELDS, OTHERS], ids=["known", "unknown"])
def test_its_repr_makes_it_again(fields: dict[str, Any]) -> None:
    datagram = Datagram(**fields)
    assert eval(repr(datagram), {"Datagram": Datagram}) == datagram


@pytest.mark.parametrize(
    ("field", "wrong", "error"),
    [
        ("data", "text", TypeError),
        ("data", bytearray(b"x"), TypeError),
        ("sender", ["192.0.2.1", 4000], TypeError),
        ("group", 5, TypeError),
        ("interface", -1, OverflowError),
        ("ttl", 256, OverflowError),
        ("truncated", 1, TypeError),
    ],
)
def test_a_wrong_type_or_figure_is_refused(field: str, wrong: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Datagram(**(FIELDS | {field: wrong}))
