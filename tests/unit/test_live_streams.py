"""The live screen of ``multicast top`` without a terminal: rows, columns, keys."""

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from multicast.apps.watching import Row
from multicast.cli.keyboard import keys_in
from multicast.cli.live_streams import Screen
from multicast.cli.output import Output
from multicast.cli.streams_table import CELLS, ORDERS, columns_that_fit, in_order
from tests.support.terminal import GIVEN_BACK, TAKEN, OnTerminal, plain

pytestmark = pytest.mark.platform("linux")

Make = Callable[..., Screen]


def stream(number: int = 1, **fields: Any) -> Row:
    known: dict[str, Any] = {
        "sender": f"192.0.2.{number}",
        "sender_port": 4000 + number,
        "packets_per_s": 100.0 * number,
        "bits_per_s": 8e6 / number,
        "received": 1000,
        "lost": 7,
        "lost_network": 4,
        "lost_kernel": 2,
        "lost_program": 1,
        "duplicates": 3,
        "reordered": 5,
        "restarts": 1,
        "jitter_us": 12.4,
        "ttl": 9,
        "kind": "rtp",
        "last_ns": 1,
        "silent_s": 0.25,
        "burst_packets": 40,
        "burst_bytes": 40_000,
        "burst_buffer": 60_000,
        **fields,
    }
    return Row(f"239.1.2.{number}", 5000, "eth0", "RECEIVING", **known)


WAITING = Row("239.9.9.9", 5000, "eth1", "WAITING")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    def screen(rows: list[Row], columns: int = 300, lines: int = 20, color: str = "never") -> Screen:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        made = Screen(Output(color=color), "group", has_keys=True)
        made.update(rows)
        return made

    return screen


def press(screen: Screen, *keys: str) -> list[str]:
    for key in keys:
        screen.press(key)
    return screen.lines()


def groups(lines: list[str]) -> list[str]:
    return [line.split(":")[0] for line in map(plain, lines) if line.startswith("239.")]


def test_screen_shows_every_column_of_a_stream(make: Make) -> None:
    title, status, head, row, *_ = make([stream(dscp=46), WAITING]).lines()
    assert title == "top  1 stream, 1 waiting  100 pkt/s  8 Mbit/s"
    assert status == "lost 7, dropped here 3  by group"
    names = "GROUP SENDER STATE PKT/S BIT/S HISTORY LOST NETWORK KERNEL PROGRAM RESTARTS DUP LATE JITTER TTL"
    assert " ".join(head.split()) == f"{names} DSCP SEEN BURST BUFFER KIND VIA"
    cells = "239.1.2.1:5000 192.0.2.1:4001 RECEIVING 100 8M █ 7 4 2 1 1 3 5 12us 9 46 0.2s 40 60k rtp eth0"
    assert " ".join(row.split()) == cells


def test_class_of_traffic_is_shown_only_if_it_is_known(make: Make) -> None:
    assert "DSCP" not in make([stream()]).lines()[2]


@pytest.mark.parametrize("columns", [1, 20, 40, 80, 120, 200])
@pytest.mark.parametrize("lines", [1, 3, 10])
def test_screen_fits_the_terminal(columns: int, lines: int, make: Make) -> None:
    for screen in (make([stream(n) for n in range(1, 31)], columns, lines), make([], columns, lines)):
        for key in ("", "h"):
            shown = press(screen, key)
            assert len(shown) == lines
            assert all(len(line) < max(2, columns) for line in shown)


def test_narrow_screen_keeps_group_state_rate_and_loss(make: Make) -> None:
    assert make([stream()], columns=40).lines()[2].split() == ["GROUP", "STATE", "PKT/S", "LOST"]


def test_columns_that_fit_keep_at_least_the_first() -> None:
    assert columns_that_fit({"GROUP": 50, "STATE": 9}, 10) == ["GROUP"]
    assert columns_that_fit({"GROUP": 5, "STATE": 9}, 16) == ["GROUP", "STATE"]


@pytest.mark.parametrize("order", ORDERS)
def test_rows_that_are_equal_keep_the_order_of_their_groups(order: str) -> None:
    rows = [stream(1), stream(1, sender_port=3), WAITING]
    assert in_order(rows, order) == in_order(rows[::-1], order)


@pytest.mark.parametrize("order", ["group", "sender"])
def test_addresses_are_sorted_as_numbers(order: str) -> None:
    rows = [stream(number) for number in (2, 10, 1, 9)]
    assert [row.sender for row in in_order(rows, order)] == [f"192.0.2.{number}" for number in (1, 2, 9, 10)]


def test_sender_with_a_zone_is_sorted_after_ipv4() -> None:
    zoned = stream(1, sender="fe80::1%eth0")
    assert in_order([zoned, stream(2), WAITING], "sender") == [WAITING, stream(2), zoned]


def test_keys_change_the_order_and_wrap_around(make: Make) -> None:
    screen = make([stream(1), stream(2)])
    assert groups(press(screen, "s", "s", "s")) == ["239.1.2.2", "239.1.2.1"]
    assert "by rate" in screen.lines()[1]
    assert groups(press(screen, "S", "S", "S")) == ["239.1.2.1", "239.1.2.2"]
    assert "by burst" in press(screen, "S")[1]
    assert "by group" in press(screen, "s")[1]


def test_filter_matches_text_of_a_row_regardless_of_case(make: Make) -> None:
    screen = make([stream(1), stream(2, kind="numbered"), WAITING])
    assert groups(press(screen, "/", *"NUMB")) == ["239.1.2.2"]
    assert "filter: NUMB_" in screen.lines()[1]
    assert groups(press(screen, *["backspace"] * 4, *"eth1q", "backspace", "enter")) == ["239.9.9.9"]
    assert not screen.quit
    assert len(groups(press(screen, "escape"))) == 3
    assert "filter" not in screen.lines()[1]


def test_paused_screen_stays_as_it_is(make: Make) -> None:
    screen = make([stream(1)])
    press(screen, "p")
    screen.update([stream(2)])
    assert groups(screen.lines()) == ["239.1.2.1"]
    press(screen, "p")
    screen.update([stream(2)])
    assert groups(screen.lines()) == ["239.1.2.2"]


def test_screen_scrolls_within_the_rows(make: Make) -> None:
    screen = make([stream(n) for n in range(1, 31)], lines=10)
    assert "rows 1 to 6 of 30" in screen.lines()[-1]
    assert "rows 2 to 7 of 30" in press(screen, "down")[-1]
    assert "rows 7 to 12 of 30" in press(screen, "page down")[-1]
    assert "rows 25 to 30 of 30" in press(screen, "end", "end")[-1]
    assert "rows 24 to 29 of 30" in press(screen, "up")[-1]
    assert "rows 1 to 6 of 30" in press(screen, "home")[-1]
    assert "rows" not in make([stream()], lines=10).lines()[-1]


def test_narrow_screen_shows_its_position_before_the_last_keys(make: Make) -> None:
    screen = make([stream(n) for n in range(1, 31)], columns=40, lines=10)
    assert screen.lines()[-1] == "h help  q quit  rows 1 to 6 of 30"
    assert make([stream()], columns=40).lines()[-1] == "h help  q quit  s sort  / filter"


def test_help_on_a_small_screen_scrolls_to_its_last_line(make: Make) -> None:
    screen = make([], columns=40, lines=16)
    assert re.fullmatch(r"h help  q quit  lines 1 to 12 of \d\d", press(screen, "h")[-1])
    shown = press(screen, "end")
    assert shown[-2] == "VIA       the interface"
    first, last, total = map(int, re.findall(r"\d+", shown[-1]))
    assert last - first == 11
    assert last == total


def test_help_can_be_read_on_a_low_terminal(make: Make) -> None:
    screen = make([stream()], columns=60, lines=10)
    assert any("q  quit" in line for line in press(screen, "h"))
    assert any("VIA" in line for line in press(screen, "end"))
    assert groups(press(screen, "h")) == ["239.1.2.1"]


def test_history_shows_the_rates_from_nothing_to_the_highest(make: Make) -> None:
    screen = make([stream(packets_per_s=0.0)])
    for rate in (50.0, 100.0):
        screen.update([stream(packets_per_s=rate)])
    assert "▁▅█" in screen.lines()[3]


def test_control_characters_are_shown_as_escapes(make: Make) -> None:
    screen = make([stream(kind="\x1b[2J")])
    press(screen, "/", "\x1b", "\x1b[A")
    assert "\\x1b[2J" in screen.lines()[3]
    assert not any("\x1b" in line for line in screen.lines())


def test_losses_and_states_have_colors(make: Make) -> None:
    row = make([stream()], color="always").lines()[3]
    assert "\x1b[32mRECEIVING\x1b[0m" in row
    assert re.search(r"\x1b\[1;31m *7\x1b\[0m", row)


@pytest.mark.parametrize(
    ("silent", "text"),
    [(0.04, "0.0s"), (9.9, "9.9s"), (42, "42s"), (600, "10m"), (7200, "2h"), (10**6, "12d")],
)
def test_time_since_the_last_datagram_has_a_unit(silent: float, text: str) -> None:
    assert CELLS["SEEN"](stream(silent_s=silent)) == text


def test_keys_are_recognized() -> None:
    sent = "a/\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[F\r\x7f\x1b[15~é\x1b"
    assert keys_in(sent) == [
        *("a", "/", "up", "down", "page up", "page down", "home", "end", "enter", "backspace", "é", "escape"),
    ]


TAKES = """
import signal, sys
from multicast.cli.output import Output
from multicast.cli.terminal import Terminal
before = signal.getsignal(signal.SIGTSTP)
try:
    with Terminal(Output()) as terminal:
        terminal.draw(["one", "two"])
        raise ZeroDivisionError
except ZeroDivisionError:
    sys.exit(signal.getsignal(signal.SIGTSTP) != before)
"""


def test_terminal_is_given_back_after_an_exception() -> None:
    with OnTerminal(sys.executable, "-c", TAKES) as program:
        assert program.finish() == 0
        assert program.modes() == program.before
        assert program.output.startswith(TAKEN)
        assert plain(program.output.partition(GIVEN_BACK)[0]).split() == ["one", "two"]
