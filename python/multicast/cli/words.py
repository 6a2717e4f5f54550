"""How the command line writes addresses and quantities for people."""

from __future__ import annotations

_FACTORS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def address(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def quantity(value: float, unit: str = "") -> str:
    """Return a value with at most four digits, a factor and, behind a space, the unit: "12.3k", "1.05 Mbit/s"."""
    factor, sign = next((one for one in _FACTORS if value >= one[0]), (1.0, ""))
    scaled = value / factor
    digits = f"{scaled:.3g}" if scaled < 999.5 else f"{scaled:.0f}"
    return f"{digits} {sign}{unit}" if unit else f"{digits}{sign}"


def number(count: int, noun: str) -> str:
    """Return a count with its noun: "1 byte", "2,000 bytes"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
