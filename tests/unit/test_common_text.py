"""Test the conversion between payloads and text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast._common import text as text_module


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", ""),
        (b"plain", "plain"),
        ("naïve €😀".encode(), "naïve €😀"),
        (b"\xff\x00a", "\\xff\x00a"),
        (b"cut \xe2\x82", "cut \\xe2\\x82"),
        (b"C:\\new", "C:\\new"),
    ],
)
def test_decode_for_display_invalid_utf8_is_escaped(payload: bytes, text: str) -> None:
    assert text_module.decode_for_display(payload) == text


@given(st.binary().filter(lambda payload: b"\\x" not in payload))
def test_decode_for_display_any_bytes_can_be_restored(payload: bytes) -> None:
    text = text_module.decode_for_display(payload).encode()
    # Undoing the escapes restores every byte.
    assert re.sub(rb"\\x([0-9a-f]{2})", lambda code: bytes.fromhex(code[1].decode()), text) == payload


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("héllo", "héllo".encode()),
        (b"\xff\x00", b"\xff\x00"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (["Hello", "big", "World"], b"Hello big World"),
        (("a", "b"), b"a b"),
        (["a", ""], b"a "),
        ([], b""),
        ("", b""),
        ("\udcff", b"\xff"),
    ],
)
def test_payload_of_each_data_type_returns_bytes(data: str | bytes, payload: bytes) -> None:
    assert text_module.payload_of(data) == payload


@pytest.mark.parametrize("data", [5, None, [1, 2], [b"a"]])
def test_payload_of_other_type_raises_type_error(data: str) -> None:
    with pytest.raises(TypeError, match="data must be text, bytes or a sequence of words, got "):
        text_module.payload_of(data)
