"""The live screen of ``multicast top``: its state, the keys that change it, and the lines that it shows."""

from __future__ import annotations

import io
from collections import deque
from itertools import islice

from .output import terminal_columns, terminal_lines
from .streams_table import CELLS, GAP, ORDERS, columns_that_fit, in_order, widths_of
from .words import number, quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from ..apps.watching import Row
    from .output import Output

_HISTORY = "HISTORY"
_COLUMNS = (
    "GROUP",
    "SENDER",
    "STATE",
    "PKT/S",
    "BIT/S",
    "HISTORY",
    "LOST",
    "NETWORK",
    "KERNEL",
    "PROGRAM",
    "RESTARTS",
    "DUP",
    "LATE",
    "JITTER",
    "TTL",
    "DSCP",
    "SEEN",
    "BURST",
    "BUFFER",
    "KIND",
    "VIA",
)
_LEFT = {"GROUP", "SENDER", "STATE", "KIND", "VIA"}
_LOSSES = {"LOST", "NETWORK", "KERNEL", "PROGRAM"}
_SORTED_BY = {
    "group": "GROUP",
    "sender": "SENDER",
    "state": "STATE",
    "rate": "PKT/S",
    "bits": "BIT/S",
    "lost": "LOST",
    "jitter": "JITTER",
    "burst": "BUFFER",
}
_STATES = {"RECEIVING": "green", "STALLED": "bold red", "WAITING": "yellow"}
_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
# Values of the history: the shortest and the longest line.
_SHORTEST, _LONGEST = 10, 40
# More lines than there are: an offset is limited when the screen is drawn, because lines of the help may be wrapped.
_BEYOND_THE_END = 1 << 30
_KEYS = ("h help", "q quit", "s sort", "/ filter", "p pause")
_HELP = (
    "q  quit",
    "s  sort by the next column, S by the previous one",
    "/  filter: show rows with this text; Enter keeps it, Escape clears it",
    "p  pause or resume the screen; counting continues while it is paused",
    "h  show or hide this help",
    "up, down, page up, page down, home, end  scroll",
    "",
    "STATE     WAITING for the first datagram, RECEIVING, or STALLED for 2 s",
    "HISTORY   the rates of the last intervals",
    "LOST      missing numbers of the stream. Where they were lost:",
    "NETWORK   before they reached this machine",
    "KERNEL    in the kernel: the receive buffer was full",
    "PROGRAM   in this program: it was too slow",
    "RESTARTS  the sender restarted its numbering: no loss",
    "DUP, LATE received again, received after a later one",
    "JITTER    interarrival jitter (RFC 3550)",
    "TTL       hops that the datagrams have left",
    "SEEN      time since the last datagram",
    "BURST     the most datagrams within 10 ms",
    "BUFFER    the receive buffer, in bytes, that this burst needs",
    "VIA       the interface",
)


class Screen:
    """The live screen.

    Args:
        out: the output that it is for.
        order: the order of the rows, one of `ORDERS`.
        has_keys: whether keys can be pressed.

    Attributes:
        quit: whether a key has asked to end.
    """

    def __init__(self, out: Output, order: str, *, has_keys: bool) -> None:
        self._out = out
        self._has_keys = has_keys
        self._order = order
        self._rows: list[Row] = []
        self._away: Sequence[str] = ()
        self._rates: dict[tuple[object, ...], deque[float]] = {}
        self._filter = ""
        self._is_typing = self._is_paused = self._shows_help = False
        self._offset = self._page = 0
        self._levels = _LEVELS if out.takes_utf8(_LEVELS.encode()) else _ASCII_LEVELS
        self.quit = False

    def update(self, rows: list[Row], away: Sequence[str] = ()) -> None:
        """Take the rows of a look, and the interfaces that are down or gone."""
        if self._is_paused:
            return
        self._rows, self._away = rows, away
        known = self._rates
        self._rates = {}
        for row in rows:
            rates = self._rates[_identity(row)] = known.get(_identity(row)) or deque(maxlen=_LONGEST)
            rates.append(row.packets_per_s)

    def press(self, key: str) -> None:
        """Do what a key stands for."""
        if self._is_typing:
            self._type(key)
            return
        orders = list(ORDERS)
        at = orders.index(self._order)
        if key in ("q", "Q"):
            self.quit = True
        elif key == "s":
            self._order = orders[(at + 1) % len(orders)]
        elif key == "S":
            self._order = orders[at - 1]
        elif key == "/":
            self._is_typing, self._shows_help = True, False
        elif key == "escape":
            self._filter, self._shows_help = "", False
        elif key in ("p", " "):
            self._is_paused = not self._is_paused
        elif key in ("h", "?"):
            self._shows_help, self._offset = not self._shows_help, 0
        else:
            self._scroll(key)

    def _type(self, key: str) -> None:
        if key == "enter":
            self._is_typing = False
        elif key == "escape":
            self._is_typing, self._filter = False, ""
        elif key == "backspace":
            self._filter = self._filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self._filter += key
        self._offset = 0

    def _scroll(self, key: str) -> None:
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -self._page, "page down": self._page}
        steps |= {"home": -self._offset, "end": _BEYOND_THE_END}
        self._offset = max(0, self._offset + steps.get(key, 0))

    def lines(self) -> list[str]:
        """Return the lines of the screen, as wide and as high as the terminal is now."""
        # A character in the last column would make some terminals begin another line.
        width, height = max(1, terminal_columns() - 1), terminal_lines()
        console = _console(self._out, width)
        shown = [row for row in in_order(self._rows, self._order) if self._matches(row)]
        room = max(0, height - 4)
        self._page = max(1, room - 1)
        if self._shows_help:
            body, rest = self._help(width, room)
        else:
            self._offset = max(0, min(self._offset, len(shown) - room))
            page = shown[self._offset : self._offset + room]
            body = self._table(page, width)
            rest = self._position("rows", len(page), len(shown))
        written = _written(console, [self._title(), self._status(), *body], width)[: height - 1]
        written += [""] * (height - 1 - len(written))
        return [*written, *_written(console, [self._footer(rest, width)], width)][-height:]

    def _matches(self, row: Row) -> bool:
        """Whether the text to filter by is in a cell of the row, regardless of case."""
        wanted = self._filter.casefold()
        return not wanted or any(
            wanted in CELLS[name](row).casefold() for name in ("GROUP", "SENDER", "STATE", "KIND", "VIA")
        )

    def _title(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 - see the top of the package

        rows = self._rows
        text = Text("top", "bold")
        text.append(f"  {number(sum(row.sender is not None for row in rows), 'stream')}", "not bold")
        for state in ("STALLED", "WAITING"):
            count = sum(row.state == state for row in rows)
            if count:
                text.append(f", {count} ", "not bold").append(state.lower(), f"not bold {_STATES[state]}")
        packets, bits = sum(row.packets_per_s for row in rows), sum(row.bits_per_s for row in rows)
        text.append(f"  {quantity(packets)} pkt/s  {quantity(bits, 'bit/s')}", "not bold")
        return text

    def _status(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 - see the top of the package

        lost, here = sum(row.lost or 0 for row in self._rows), sum(row.lost_here for row in self._rows)
        text = Text()
        if self._is_paused:
            text.append("PAUSED", "bold reverse").append("  ")
        if self._away:
            text.append(self._out.printable(f"{', '.join(self._away)} away"), "bold red").append("  ")
        text.append(f"lost {lost:,}", "bold red" if lost else "").append(", ")
        text.append(f"dropped here {here:,}", "bold red" if here else "").append(f"  by {self._order}")
        if self._is_typing or self._filter:
            text.append("  filter: ").append(self._out.printable(self._filter), "bold")
            text.append("_" if self._is_typing else "")
        return text

    def _help(self, width: int, room: int) -> tuple[list[Text], str]:
        """Return the part of the help that has room, and where it is."""
        from textwrap import wrap  # noqa: PLC0415 - see the top of the package

        from rich.text import Text  # noqa: PLC0415 - likewise

        indented = " " * 10 if width > 40 else "  "
        lines = [part for line in _HELP for part in wrap(line, width, subsequent_indent=indented) or [""]]
        self._offset = max(0, min(self._offset, len(lines) - room))
        page = lines[self._offset : self._offset + room]
        return [Text(), *map(Text, page)], self._position("lines", len(page), len(lines))

    def _position(self, what: str, shown: int, total: int) -> str:
        """Return in words which part is shown; nothing if it is the whole."""
        return "" if shown == total else f"{what} {self._offset + 1} to {self._offset + shown} of {total}"

    def _footer(self, rest: str, width: int) -> Text:
        """Return the keys that fit beside the position."""
        from rich.text import Text  # noqa: PLC0415 - see the top of the package

        parts = [*(_KEYS if self._has_keys else ("Ctrl-C to quit",)), *([rest] if rest else [])]
        keys = len(parts) - bool(rest)
        while keys > 1 and sum(map(len, parts)) + GAP * (len(parts) - 1) > width:
            keys -= 1
            del parts[keys]
        return Text((" " * GAP).join(parts))

    def _table(self, rows: Sequence[Row], width: int) -> list[Text]:
        from rich.text import Text  # noqa: PLC0415 - see the top of the package

        names = [name for name in _COLUMNS if name != "DSCP" or any(row.dscp is not None for row in rows)]
        plain = [name for name in names if name != _HISTORY]
        cells = [{name: self._out.printable(CELLS[name](row)) for name in plain} for row in rows]
        widths = widths_of(plain, [list(row.values()) for row in cells])
        widths = {name: widths.get(name, _SHORTEST) for name in names}
        kept = columns_that_fit(widths, width)
        spare = width - sum(widths[name] + GAP for name in kept) + GAP
        if _HISTORY in kept:
            widths[_HISTORY] += max(0, min(spare, _LONGEST - _SHORTEST))
        head = Text()
        for name in kept:
            style = "bold reverse" if name == _SORTED_BY[self._order] else "bold"
            head.append(" " * GAP if head else "").append(_aligned(name, name, widths[name]), style)
        lines = [head]
        for row, texts in zip(rows, cells, strict=True):
            if _HISTORY in kept:
                texts[_HISTORY] = self._sparkline(self._rates[_identity(row)], widths[_HISTORY])
            line = Text()
            for name in kept:
                style = _style(name, texts[name], row)
                line.append(" " * GAP if line else "").append(
                    _aligned(name, texts[name], widths[name]), style
                )
            lines.append(line)
        return lines

    def _sparkline(self, rates: deque[float], width: int) -> str:
        """Return the last rates, one character each, from nothing to the highest."""
        shown = list(islice(rates, max(0, len(rates) - width), None))
        top = max(shown, default=0.0) or 1.0
        last = len(self._levels) - 1
        return "".join(self._levels[round(rate / top * last)] for rate in shown).rjust(width)


def _identity(row: Row) -> tuple[object, ...]:
    return row.group, row.port, row.sender, row.sender_port


def _aligned(name: str, text: str, width: int) -> str:
    return text.ljust(width) if name in _LEFT else text.rjust(width)


def _style(name: str, text: str, row: Row) -> str:
    if name == "STATE":
        return _STATES[row.state]
    if name in _LOSSES and text not in ("0", "-"):
        return "bold red"
    return "cyan" if name == _HISTORY else ""


def _console(out: Output, width: int) -> Console:
    from rich.console import Console  # noqa: PLC0415 - see the top of the package

    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="standard" if out.colored else None,
        no_color=not out.colored,
        legacy_windows=False,
    )


def _written(console: Console, texts: Sequence[Text], width: int) -> list[str]:
    """Return each text as a line for the terminal, shortened to the width."""
    lines: list[str] = []
    for text in texts:
        text.truncate(width, overflow="ellipsis")
        with console.capture() as capture:
            console.print(text, end="", no_wrap=True, crop=True)
        lines.append(capture.get())
    return lines
