"""A pytest plugin: with ``MULTICAST_REQUIRE_TOOLS=1``, as in CI, a skipped test fails.

A test that does not apply to a platform is not skipped: ``@pytest.mark.platform("linux", "darwin")`` deselects it.
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
    # An expected failure (xfail) also has the outcome "skipped", but is not a skip.
    if _REQUIRED and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but MULTICAST_REQUIRE_TOOLS=1 allows no skip: {report.longrepr}"


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
