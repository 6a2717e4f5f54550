"""Messages of the multicast ping protocol: their bytes, and what is not a message."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast.apps.ping.message import LONGEST, parse, reply, request
from multicast.apps.ping.results import KindResult

# As asmping 0.9.1 sends it: client 7, sequence 1, time 3.000004, group 239.2.2.234.
ASKED = bytes.fromhex(
    "51 00010004 00000007 00020004 00000001 00030008 00000003 00000004 00040005 01 ef0202ea"
)


def test_request_has_the_bytes_of_asmping() -> None:
    assert request(7, 1, 3.000004, "239.2.2.234") == ASKED


def test_request_is_parsed_to_what_it_says() -> None:
    message = parse(ASKED)
    assert message is not None
    assert (message.is_reply, message.client, message.sequence, message.group) == (False, 7, 1, "239.2.2.234")
    assert (message.wants_version, message.reply_size) == (False, 0)


@pytest.mark.parametrize(
    ("value", "group"),
    [
        ("0005 01 ef010203", "239.1.2.3"),
        ("0006 0001 ef010203", "239.1.2.3"),
        ("0011 02 ff150000000000000000000000000001", "ff15::1"),
        ("0012 0002 ff150000000000000000000000000001", "ff15::1"),
    ],
)
def test_group_of_both_forms_is_parsed(value: str, group: str) -> None:
    message = parse(b"Q" + bytes.fromhex("0004" + value))
    assert message is not None
    assert message.group == group


def test_reply_returns_the_options_with_version_and_padding() -> None:
    asked = parse(ASKED + struct.pack("!HH", 5, 0) + struct.pack("!HHH", 7, 2, 200))
    assert asked is not None
    answer = reply(asked, "multicast 3")
    assert answer[:1] == b"A"
    assert answer[1:].startswith(ASKED[1:])
    assert struct.pack("!HH", 6, 11) + b"multicast 3" in answer
    assert len(answer) == 200
    parsed = parse(answer)
    assert parsed is not None
    assert parsed.is_reply


def test_reply_is_never_longer_than_the_limit_for_padding() -> None:
    asked = parse(ASKED + struct.pack("!HHH", 7, 2, 65535))
    assert asked is not None
    assert len(reply(asked, "v")) == LONGEST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"X" + ASKED[1:],
        ASKED[:-1],
        b"Q\0",
        b"Q" + struct.pack("!HH", 4, 5) + b"\x01\x0a\0\0\x01",
        b"Q" + struct.pack("!HH", 4, 3) + b"\x01\x02\x03",
        b"Q" + struct.pack("!HH", 8, 2000) + bytes(2000),
    ],
    ids=["empty", "other-type", "cut", "half-option", "no-group", "short-group", "too-long"],
)
def test_data_that_is_no_message_is_none(data: bytes) -> None:
    assert parse(data) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_without_an_error(data: bytes) -> None:
    message = parse(data)
    assert message is None or message.options == data[1:]


def test_results_of_known_times_have_the_right_statistics() -> None:
    result = KindResult(sent=5, times_ms={2: 1.0, 3: 3.0, 5: 5.0})
    assert (result.received, result.loss_percent, result.late_loss_percent) == (3, 40.0, 25.0)
    assert (result.min_ms, result.avg_ms, result.max_ms) == (1.0, 3.0, 5.0)
    assert result.stddev_ms == pytest.approx((8 / 3) ** 0.5)


def test_results_without_replies_have_no_times() -> None:
    result = KindResult(sent=1)
    assert (result.loss_percent, result.late_loss_percent) == (100.0, 0.0)
    assert (result.min_ms, result.avg_ms, result.max_ms, result.stddev_ms) == (None, None, None, None)
