"""How the command line writes addresses and quantities for people."""

from __future__ import annotations


def address(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def quantity(value: float) -> str:
    """Return a value with at most four digits and a factor: "12.3k", "1.05M"."""
    for factor, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g}{sign}" if value < 999.5 * factor else f"{value / factor:.0f}{sign}"
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def number(count: int, noun: str) -> str:
    """Return a count with its noun: "1 byte", "2,000 bytes"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
