"""Test which senders the default handler answers, how often, and the text of the answer."""

import pytest

from multicast._legacy.replies import TokenBucket, answer, format_address, may_answer


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_token_bucket_after_burst_limits_to_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=8, burst=3, clock=clock)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now += 0.125
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now += 0.25
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_token_bucket_long_pause_saves_at_most_one_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=10, burst=2, clock=clock)
    clock.now += 3600
    assert [bucket.take() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "sender", [("192.0.2.1", 5000), ("127.0.0.1", 1), ("223.255.255.254", 65535), ("fe80::1", 5000)]
)
def test_may_answer_unicast_sender_returns_true(sender: tuple[str, int]) -> None:
    assert may_answer("hello", sender)


@pytest.mark.parametrize(
    "sender",
    [
        ("192.0.2.1", 0),
        ("224.0.0.1", 5000),
        ("239.1.2.3", 5000),
        ("240.0.0.1", 5000),
        ("255.255.255.255", 5000),
        ("0.0.0.0", 5000),
        ("ff02::1", 5000),
        ("::", 5000),
        ("a name", 5000),
    ],
)
def test_may_answer_sender_that_is_not_one_host_returns_false(sender: tuple[str, int]) -> None:
    assert not may_answer("hello", sender)


def test_may_answer_text_of_an_answer_returns_false() -> None:
    text = answer("hello", ("192.0.2.1", 5000), ("224.0.0.1", 59595))
    assert text == "HEAR [ HELLO SAID 192.0.2.1:5000 ] from 224.0.0.1:59595"
    assert not may_answer(text, ("192.0.2.1", 5000))


def test_format_address_ipv6_is_bracketed() -> None:
    assert format_address(("192.0.2.1", 5000)) == "192.0.2.1:5000"
    assert format_address(("fe80::1", 5000)) == "[fe80::1]:5000"
