"""The cost of leaving many groups: ours, not that of the kernel, which searches its list of groups for each one."""

import resource

import pytest

from multicast.sync import Receiver

pytestmark = [pytest.mark.alone, pytest.mark.platform("linux")]


def own_seconds() -> float:
    """Return the CPU time of this thread outside of the kernel."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_utime


def test_leave_of_many_groups_costs_less_than_joining_them() -> None:
    begun = own_seconds()
    with Receiver("239.9.0.0+18000", 0, interface="127.0.0.1") as rx:
        joined = own_seconds() - begun
        begun = own_seconds()
        rx.leave("239.9.35.40+9000")
        left = own_seconds() - begun
        assert len(rx.groups) == 9000
        assert left < 1.25 * joined
