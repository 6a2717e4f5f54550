"""Test that endpoint text is parsed to values and formatted back."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast.endpoints import Endpoint, address, merge, parse

READ = {
    "239.1.2.3": Endpoint("239.1.2.3"),
    " 239.1.2.3\n": Endpoint("239.1.2.3"),
    "239.1.2.3:5000": Endpoint("239.1.2.3", 5000),
    "239.1.2.3:0": Endpoint("239.1.2.3", 0),
    "239.1.2.3:65535": Endpoint("239.1.2.3", 65535),
    "239.1.2.3%eth0": Endpoint("239.1.2.3", None, "eth0"),
    "239.1.2.3%eth0:5000": Endpoint("239.1.2.3", 5000, "eth0"),
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
    "[ff02::1]5000": "has '5000' behind ']'",
    "239.1.2.3%": "behind '%'",
    "239.1.2.3:5000%": "behind '%'",
    "[ff02::1%]:5000": "behind '%'",
    "[ff02::1%eth0]:5000%eth1": "second zone behind '%'",
    "239.1.2.3:": "has the port ''",
    "239.1.2.3:http": "has the port 'http'",
    "239.1.2.3:-1": "has the port '-1'",
    "239.1.2.3:+1": "has the port '+1'",
    "239.1.2.3:1_000": "has the port '1_000'",
    "239.1.2.3:65536": "has the port '65536'",
    "239.1.2.3:\N{ARABIC-INDIC DIGIT FIVE}": "has the port '\N{ARABIC-INDIC DIGIT FIVE}'",
    "239.1.2.3:" + 5000 * "9": "from 0 to 65535",
}


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=READ.keys())
def test_parse_valid_text_returns_endpoint(text: str, expected: Endpoint) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(("text", "part"), REFUSED.items(), ids=[text[:20] for text in REFUSED])
def test_parse_invalid_text_raises_value_error_that_quotes_it(text: str, part: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is checked below
        parse(text)
    assert part in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("given", [None, 5000, b"239.1.2.3", ("239.1.2.3", 5000)])
def test_parse_non_text_raises_type_error(given: object) -> None:
    with pytest.raises(TypeError, match=rf"not {type(given).__name__}$"):
        parse(given)  # type: ignore[arg-type]


ADDRESSES = st.ip_addresses().map(str)
ZONES = st.from_regex(r"[a-z][a-z0-9.\-]{0,14}", fullmatch=True) | st.integers(1, 2**31 - 1).map(str)
ENDPOINTS = st.builds(
    Endpoint,
    ADDRESSES,
    st.none() | st.integers(0, 65535),
    st.none() | ZONES,
    st.lists(ADDRESSES, max_size=3).map(tuple),
)


@given(ENDPOINTS)
def test_endpoint_str_parses_back_to_equal_endpoint(endpoint: Endpoint) -> None:
    assert parse(str(endpoint)) == endpoint


@given(st.text())
def test_parse_any_text_returns_endpoint_or_raises_value_error(text: str) -> None:
    try:
        endpoint = parse(text)
    except ValueError:
        # The messages are tested above.
        return
    assert endpoint.group
    assert endpoint.port is None or 0 <= endpoint.port <= 65535


@given(st.ip_addresses(v=6), st.integers(0, 65535))
def test_parse_bare_ipv6_address_is_not_split_at_a_port(address: ipaddress.IPv6Address, port: int) -> None:
    assert parse(str(address)) == Endpoint(str(address))
    assert parse(f"[{address}]:{port}") == Endpoint(str(address), port)


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
    assert [str(endpoint) for endpoint in merge(list(map(parse, texts)))] == (
        texts if merged is None else merged
    )


def test_address_different_spellings_compare_equal() -> None:
    assert address("FF15:0::1") == address("ff15::1%eth0") != address("ff15::2")
    with pytest.raises(ValueError, match="group"):
        address("group")
