"""How the command line writes addresses and quantities for people."""

from __future__ import annotations


def address(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def number(count: int, noun: str) -> str:
    """Return a count with its noun: "1 byte", "2,000 bytes"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
