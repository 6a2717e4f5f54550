"""Run the Python tests in passes: ``python -m scripts.dev.run_tests [ARGUMENT ...]``, with arguments of pytest.

The first pass runs tests on all processors at the same time; each worker has a private network. On Linux, the next one
repeats the tests of receivers with the packet engine. The last pass runs the tests with the marker ``alone``, which
measure time or use every processor, one after another.
"""

import subprocess
import sys
from collections.abc import Sequence

# A file stays in one worker, so that its module fixtures are made once.
_TOGETHER = ["-n", "auto", "--dist", "loadfile", "-m", "not alone"]
PASSES = [_TOGETHER, ["-m", "alone"]]
if sys.platform == "linux":
    PASSES.insert(1, [*_TOGETHER, "--engine", "packet"])

_NO_TESTS = 5
"""The exit code of pytest if the arguments select no test."""


def main(arguments: Sequence[str]) -> int:
    """Run all passes; return the exit code of the first one that fails."""
    codes = [
        subprocess.run([sys.executable, "-m", "pytest", *options, *arguments], check=False).returncode
        for options in PASSES
    ]
    # The arguments may select no test for some passes.
    ran = [code for code in codes if code != _NO_TESTS]
    return next(filter(None, ran), 0) if ran else _NO_TESTS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
