"""Test ``endpoints.expand``: one text that stands for many groups."""

import re

import pytest

from multicast.endpoints import MAX_GROUPS, Endpoint, expand

MANY = {
    "239.1.2.3": ["239.1.2.3"],
    "239.1.2.3+1": ["239.1.2.3"],
    "239.1.2.254+4": ["239.1.2.254", "239.1.2.255", "239.1.3.0", "239.1.3.1"],
    "239.1.2.4/30": ["239.1.2.4", "239.1.2.5", "239.1.2.6", "239.1.2.7"],
    "239.1.2.3/32": ["239.1.2.3"],
    "ff15::ffff+2": ["ff15::ffff", "ff15::1:0"],
    "ff15::8/127": ["ff15::8", "ff15::9"],
}

REFUSED = {
    "239.1.2.3+0": "stands for 0 groups",
    "239.1.2.3+": "has '' instead of a number",
    "239.1.2.3+-1": "has '-1' instead of a number",
    "239.1.2.3+1+1": "has '1+1' instead of a number",
    "239.1.2.3+" + "9" * 5000: "instead of a number",
    "239.1.2.0/33": "longer than the 32 bits",
    "ff15::/129": "longer than the 128 bits",
    "239.1.2.3/24": "write 239.1.2.0/24",
    "239.0.0.0/8": f"stands for 16777216 groups; an endpoint may stand for 1 to {MAX_GROUPS}",
    "group+2": "does not begin with an IPv4 or IPv6 address",
    "255.255.255.255+2": "goes beyond the last address",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff+2": "goes beyond the last address",
}


@pytest.mark.parametrize(("text", "expected"), MANY.items(), ids=MANY.keys())
def test_expand_range_returns_every_group(text: str, expected: list[str]) -> None:
    assert [one.group for one in expand(Endpoint.parse(text))] == expected


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=[text[:20] for text in REFUSED])
def test_expand_invalid_range_raises_value_error_with_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        expand(Endpoint.parse(text))


def test_expand_range_keeps_port_interface_and_sources() -> None:
    assert expand(Endpoint.parse("10.0.0.1@232.1.2.0/31:5000%eth0")) == [
        Endpoint("232.1.2.0", 5000, "eth0", ("10.0.0.1",)),
        Endpoint("232.1.2.1", 5000, "eth0", ("10.0.0.1",)),
    ]
    assert expand(Endpoint.parse("[ff15::1%eth0+2]:5000"))[1:] == []


def test_expand_largest_range_returns_max_groups() -> None:
    groups = expand(Endpoint.parse("239.1.0.0/16"))
    assert (len(groups), groups[0].group, groups[-1].group) == (MAX_GROUPS, "239.1.0.0", "239.1.255.255")
