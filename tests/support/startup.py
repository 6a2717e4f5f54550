"""What starting a program costs, in processor time, which other work on the machine disturbs least (POSIX)."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.programs import environment

# Others' work only ever adds to a figure, so the least of many is the nearest to the truth.
_LEAST, _MOST = 10, 60


def ratio(ours: list[str], base: list[str], bound: float, cache: Path) -> float:
    """Return how many times Python with ``ours`` costs what it costs with ``base``, each at its cheapest.

    Measured until it is below ``bound``, but not less and not more often than makes sense. Modules are compiled
    once, into ``cache``, as in an installed package, whatever this test run was told about writing bytecode.
    """
    env = environment(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=os.fspath(cache))
    for words in (ours, base):
        _cost(words, env)
    least = [_cost(ours, env), _cost(base, env)]
    for done in range(1, _MOST + 1):
        least = [min(least[0], _cost(ours, env)), min(least[1], _cost(base, env))]
        if done >= _LEAST and least[0] / least[1] < bound:
            break
    return least[0] / least[1]


def _cost(words: list[str], env: dict[str, str]) -> float:
    process = subprocess.Popen([sys.executable, *words], env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
