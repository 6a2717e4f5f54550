"""Test that endpoint text is parsed to values and formatted back."""

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast.endpoints import Endpoint, from_argument, is_link_scope, merge, parse_address

READ = {
    "239.1.2.3": Endpoint("239.1.2.3"),
    " 239.1.2.3\n": Endpoint("239.1.2.3"),
    "239.1.2.3:5000": Endpoint("239.1.2.3", 5000),
    "239.1.2.3:0": Endpoint("239.1.2.3", 0),
    "239.1.2.3:65535": Endpoint("239.1.2.3", 65535),
    "239.1.2.3%eth0": Endpoint("239.1.2.3", None, "eth0"),
    "239.1.2.3%eth0:5000": Endpoint("239.1.2.3", None, "eth0:5000"),
    "239.1.2.3:5000%eth0:1": Endpoint("239.1.2.3", 5000, "eth0:1"),
    "[ff02::114%eth0:1]:5000": Endpoint("ff02::114", 5000, "eth0:1"),
    "239.1.2.3:5000%eth0": Endpoint("239.1.2.3", 5000, "eth0"),
    "239.1.2.3:5000%2": Endpoint("239.1.2.3", 5000, "2"),
    "239.1.2.3:5000%10.0.0.1": Endpoint("239.1.2.3", 5000, "10.0.0.1"),
    "ff02::114": Endpoint("ff02::114"),
    "ff02::114%eth0": Endpoint("ff02::114", None, "eth0"),
    "[ff02::114]": Endpoint("ff02::114"),
    "[ff02::114]:5000": Endpoint("ff02::114", 5000),
    "[ff02::114%eth0]:5000": Endpoint("ff02::114", 5000, "eth0"),
    "[ff02::114]:5000%eth0": Endpoint("ff02::114", 5000, "eth0"),
    "10.0.0.1@232.1.2.3:5000": Endpoint("232.1.2.3", 5000, None, ("10.0.0.1",)),
    "10.0.0.1, 10.0.0.2@232.1.2.3": Endpoint("232.1.2.3", None, None, ("10.0.0.1", "10.0.0.2")),
    "[fd00::1]@[ff35::1%eth0]:5000": Endpoint("ff35::1", 5000, "eth0", ("fd00::1",)),
}

REFUSED = {
    "": "names no group",
    ":5000": "names no group",
    "[]:5000": "names no group",
    "%eth0": "names no group",
    "@239.1.2.3": "empty source before '@'",
    "10.0.0.1,@239.1.2.3": "empty source before '@'",
    "[ff02::1": "no closing ']'",
    "[ff02::1]5000": "has '5000' after ']'",
    "10.0.0.1]@239.1.2.3": "unpaired bracket before '@'",
    "[10.0.0.1@239.1.2.3": "unpaired bracket before '@'",
    "[[10.0.0.1]]@239.1.2.3": "unpaired bracket before '@'",
    "239.1.2.3%": "after '%'",
    "239.1.2.3:5000%": "after '%'",
    "[ff02::1%]:5000": "after '%'",
    "[ff02::1%eth0]:5000%eth1": "second interface after '%'",
    "udp://@239.1.2.3:5000": "is a URL: write 239.1.2.3:5000 instead",
    "rtp://10.0.0.1@232.1.2.3:5000/?ttl=4": "is a URL: write 10.0.0.1@232.1.2.3:5000 instead",
    "udp://[ff05::3]:5000": "is a URL: write [ff05::3]:5000 instead",
    "udp://": "is a URL: write an endpoint such as 239.1.2.3:5000 instead",
    "239.1.2.3:": "got ''",
    "239.1.2.3:http": "got 'http'",
    "239.1.2.3:-1": "got '-1'",
    "239.1.2.3:+1": "got '+1'",
    "239.1.2.3:1_000": "got '1_000'",
    "239.1.2.3:65536": "from 0 to 65535, got '65536'",
    "239.1.2.3:\N{ARABIC-INDIC DIGIT FIVE}": "got '\N{ARABIC-INDIC DIGIT FIVE}'",
    "239.1.2.3:" + 5000 * "9": "from 0 to 65535",
}


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=READ.keys())
def test_parse_valid_text_returns_endpoint(text: str, expected: Endpoint) -> None:
    assert Endpoint.parse(text) == expected


@pytest.mark.parametrize(("text", "part"), REFUSED.items(), ids=[text[:20] for text in REFUSED])
def test_parse_invalid_text_raises_value_error_that_quotes_it(text: str, part: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is checked below
        Endpoint.parse(text)
    assert part in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("given", [None, 5000, b"239.1.2.3", ("239.1.2.3", 5000)])
def test_parse_non_text_raises_type_error(given: object) -> None:
    with pytest.raises(TypeError, match=rf"got {type(given).__name__}$"):
        Endpoint.parse(given)  # type: ignore[arg-type]


ADDRESSES = st.ip_addresses().map(str)
ZONES = st.from_regex(r"[a-z][a-z0-9.\-:]{0,14}", fullmatch=True) | st.integers(1, 2**31 - 1).map(str)
ENDPOINTS = st.builds(
    Endpoint,
    ADDRESSES,
    st.none() | st.integers(0, 65535),
    st.none() | ZONES,
    st.lists(ADDRESSES, max_size=3).map(tuple),
)


@given(ENDPOINTS)
def test_endpoint_str_parses_back_to_equal_endpoint(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint


@given(st.text())
def test_parse_any_text_returns_endpoint_or_raises_value_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except ValueError:
        # The messages are tested above.
        return
    assert endpoint.group
    assert endpoint.port is None or 0 <= endpoint.port <= 65535


@given(st.ip_addresses(v=6), st.integers(0, 65535))
def test_parse_bare_ipv6_address_is_not_split_at_a_port(address: ipaddress.IPv6Address, port: int) -> None:
    assert Endpoint.parse(str(address)) == Endpoint(str(address))
    assert Endpoint.parse(f"[{address}]:{port}") == Endpoint(str(address), port)


@pytest.mark.parametrize(
    ("texts", "merged"),
    [
        (["10.0.0.1@232.1.1.1", "10.0.0.2@232.1.1.1"], ["10.0.0.1,10.0.0.2@232.1.1.1"]),
        (
            ["10.0.0.1@232.1.1.1", "239.1.1.1", "10.0.0.2@232.1.1.1:5", "10.0.0.3,10.0.0.4@232.1.1.1"],
            ["10.0.0.1,10.0.0.3,10.0.0.4@232.1.1.1", "239.1.1.1", "10.0.0.2@232.1.1.1:5"],
        ),
        # Different interfaces or duplicates are left unchanged: joining them reports the error.
        (["10.0.0.1@232.1.1.1%eth0", "10.0.0.2@232.1.1.1%eth1"], None),
        (["10.0.0.1@232.1.1.1", "10.0.0.1@232.1.1.1"], None),
        (["10.0.0.1@239.1.1.1", "239.1.1.1"], None),
        (["239.1.1.1", "10.0.0.1@239.1.1.1"], None),
        (["239.1.1.1", "239.1.1.1"], None),
        ([], None),
    ],
)
def test_merge_endpoints_of_one_group_combines_sources(texts: list[str], merged: list[str] | None) -> None:
    assert [str(endpoint) for endpoint in merge(list(map(Endpoint.parse, texts)))] == (
        texts if merged is None else merged
    )


def test_address_different_spellings_compare_equal() -> None:
    assert parse_address("FF15:0::1") == parse_address("ff15::1%eth0") != parse_address("ff15::2")
    with pytest.raises(ValueError, match="group"):
        parse_address("group")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("239.1.2.3:5000", Endpoint("239.1.2.3", 5000)),
        (Endpoint("239.1.2.3", 5000, "eth0"), Endpoint("239.1.2.3", 5000, "eth0")),
        (("239.1.2.3", 5000), Endpoint("239.1.2.3", 5000)),
        (("10.0.0.1@232.1.2.3%eth0", 5000), Endpoint("232.1.2.3", 5000, "eth0", ("10.0.0.1",))),
        ((ipaddress.ip_address("239.1.2.3"), 5000), Endpoint("239.1.2.3", 5000)),
        (ipaddress.ip_address("239.1.2.3"), Endpoint("239.1.2.3")),
        (ipaddress.ip_address("ff02::114%eth0"), Endpoint("ff02::114", None, "eth0")),
        (ipaddress.ip_network("239.1.2.0/24"), Endpoint("239.1.2.0/24")),
        (ipaddress.ip_network("ff15::/112"), Endpoint("ff15::/112")),
    ],
    ids=str,
)
def test_endpoint_argument_of_any_type_becomes_an_endpoint(given: object, expected: Endpoint) -> None:
    assert from_argument(given) == expected


def test_endpoint_argument_with_two_ports_raises_value_error() -> None:
    with pytest.raises(ValueError, match="has the port twice"):
        from_argument(("239.1.2.3:5000", 5000))


def test_merge_many_sources_takes_linear_time() -> None:
    """8,000 sources took 1.6 s when each one searched the list of the others."""
    endpoints = [
        Endpoint("232.1.1.1", sources=(f"10.0.{number // 256}.{number % 256}",)) for number in range(8000)
    ]
    start = time.process_time()
    (merged,) = merge(endpoints)
    assert time.process_time() - start < 0.3
    assert len(merged.sources) == 8000


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("224.0.0.251", True),
        ("224.0.1.1", False),
        ("ff02::fb", True),
        ("ff01::1", True),
        ("ff05::1", False),
        ("ff12::1%eth0", True),
    ],
)
def test_group_of_link_scope_is_recognized(group: str, expected: bool) -> None:
    assert is_link_scope(group) is expected
