"""The measurements: each opens its contestants, makes the traffic and enters what came of it into the book.

Rounds are interleaved: a round runs every contestant once, so that whatever disturbs the machine disturbs all.
What is not here: processes (`process.py`), contestants (`contestants.py`), judgement (`targets.py`).
"""

from bench.scenarios.gil_contention import gil_contention
from bench.scenarios.lifetime import memory, starting
from bench.scenarios.reading import drain, flood, groups, latency, server
from bench.scenarios.traffic import Scenario
from bench.scenarios.writing import sending

SCENARIOS: dict[str, Scenario] = {
    "drain": drain,
    "flood": flood,
    "sending": sending,
    "server": server,
    "latency": latency,
    "gil_contention": gil_contention,
    "groups": groups,
    "starting": starting,
    "memory": memory,
}
