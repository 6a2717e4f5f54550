"""Reports of the commands that receive."""

import dataclasses
from typing import cast

import pytest

from multicast.apps.listening import Listener, Totals
from multicast.cli.output import Output
from multicast.cli.receiving import Report
from multicast.cli.signals import Signals

NOTHING = Totals(
    received=0,
    bytes=0,
    kernel_drops=0,
    ring_drops=0,
    filtered=0,
    truncated=0,
    invalid=0,
    unassembled=0,
    duration=0.0,
)


class Dropping:
    """A listener whose counters a test sets."""

    def __init__(self) -> None:
        self.now = NOTHING
        self.memberships: list[object] = []

    def stats(self) -> list[object]:
        return []

    def totals(self) -> Totals:
        return self.now


def test_report_drops_of_both_kinds_names_the_cause_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    listener = Dropping()
    report = Report("listen", Output(), cast("Listener", listener), Signals())
    listener.now = dataclasses.replace(NOTHING, kernel_drops=3)
    report.summary()
    capsys.readouterr()
    # Earlier drops by the kernel are no reason for later ones by the program.
    listener.now = dataclasses.replace(NOTHING, kernel_drops=3, ring_drops=1)
    report.summary()
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == "multicast listen: dropped 1 datagram here: its output was written too slowly"
