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
    ],
)
def test_receiver_packet_argument_out_of_range_is_rejected(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Receiver("239.9.8.7", 5000, **options)
    assert str(caught.value) == message
