"""Foreign programs that tests hold ours against: socat, tshark, strace, iperf, multicat, ip."""

import shutil

import pytest


def need(name: str) -> str:
    """Return the path of program ``name``, or skip the calling test where it is not installed.

    Where nothing may be missing (``MULTICAST_REQUIRE_TOOLS=1``), ``no_skips.py`` makes a failure of the skip.
    """
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs the program {name}, which is not installed")
    return path
