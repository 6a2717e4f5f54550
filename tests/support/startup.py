"""Measure the start of a program in processor time, which other work on the machine disturbs least (POSIX)."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.programs import environment

# Other work can only add to a measurement, so the minimum of many is the most accurate.
_MIN_ROUNDS, _MAX_ROUNDS = 10, 60


def ratio(ours: list[str], base: list[str], bound: float, cache: Path) -> float:
    """Return the cost of Python with ``ours``, divided by its cost with ``base``, each the minimum of several rounds.

    Measure until the ratio is below ``bound``, within the minimum and maximum of rounds. Modules are compiled once,
    into ``cache``, as in an installed package, whether or not this test run writes bytecode.
    """
    env = environment(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=os.fspath(cache))
    for words in (ours, base):
        _cost(words, env)
    least = [_cost(ours, env), _cost(base, env)]
    for done in range(1, _MAX_ROUNDS + 1):
        least = [min(least[0], _cost(ours, env)), min(least[1], _cost(base, env))]
        if done >= _MIN_ROUNDS and least[0] / least[1] < bound:
            break
    return least[0] / least[1]


def _cost(words: list[str], env: dict[str, str]) -> float:
    process = subprocess.Popen([sys.executable, *words], env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
