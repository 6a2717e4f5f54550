"""Find the programs that tests use: socat, tcpdump, tshark, strace, iperf, multicat, ffmpeg, fish, ip."""

import shutil

import pytest


def need(name: str) -> str:
    """Return the path of program ``name``, or skip the calling test if it is not installed.

    With ``MULTICAST_REQUIRE_TOOLS=1``, ``no_skips.py`` turns the skip into a failure.
    """
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs the program {name}, which is not installed")
    return path
