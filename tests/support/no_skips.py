"""A pytest plugin: where ``MULTICAST_REQUIRE_TOOLS=1``, as in CI, a skipped test is a failed one.

What cannot apply to a platform is not skipped: ``@pytest.mark.platform("linux", "darwin")`` leaves it out.
"""

import os
import sys
from collections.abc import Generator

import pytest

_REQUIRED = os.environ.get("MULTICAST_REQUIRE_TOOLS") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere = [item for item in items if not _applies_here(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def _applies_here(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("platform")
    return marker is None or sys.platform in marker.args


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure (xfail) also reports itself as skipped, and is none.
    if _REQUIRED and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _REQUIRED:
        count = len(terminalreporter.stats.get("skipped", []))
        terminalreporter.write_line(f"{count} skipped (a skip counts as a failure in this run)")
