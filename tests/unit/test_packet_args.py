"""Test which arguments of the packet engine are rejected before any system call."""

from typing import Any

import pytest

from multicast.sync import Receiver


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "fast"}, ValueError, "engine must be 'socket', 'packet' or 'auto', got 'fast'"),
        ({"packet_delay": 0}, ValueError, "packet_delay must be from 0.001 to 1 seconds, got 0"),
        ({"packet_delay": 1.5}, ValueError, "packet_delay must be from 0.001 to 1 seconds, got 1.5"),
        ({"packet_delay": -1}, ValueError, "packet_delay must be from 0.001 to 1 seconds, got -1"),
        ({"packet_delay": "1"}, TypeError, "packet_delay must be a number, got str"),
        ({"spin": -1}, ValueError, "spin must be from 0 to 10 seconds, got -1"),
        ({"spin": 11}, ValueError, "spin must be from 0 to 10 seconds, got 11"),
        ({"spin": True}, TypeError, "spin must be a number, got bool"),
        ({"fanout": -1}, ValueError, "fanout must be an integer from 0 to 32767, got -1"),
        ({"fanout": (32768, "flow")}, ValueError, "fanout must be an integer from 0 to 32767, got 32768"),
        (
            {"fanout": (1, "random")},
            ValueError,
            "fanout must be a number, or a number with 'flow' or 'round-robin', got (1, 'random')",
        ),
        (
            {"fanout": (1, ["flow"])},
            ValueError,
            "fanout must be a number, or a number with 'flow' or 'round-robin', got (1, ['flow'])",
        ),
        ({"fanout": "1"}, TypeError, "fanout must be an integer from 0 to 32767, got str"),
        ({"fanout": 1}, ValueError, 'fanout must be None unless engine is "packet", got a number'),
        (
            {"fanout": 1, "engine": "auto"},
            ValueError,
            'fanout must be None unless engine is "packet", got a number',
        ),
    ],
)
def test_receiver_packet_argument_out_of_range_is_rejected(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Receiver("239.9.8.7", 5000, **options)
    assert str(caught.value) == message
