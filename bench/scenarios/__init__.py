"""The measurements: each starts its contestants and the traffic, and adds the results to the book.

Rounds are interleaved: each round runs every contestant once, so that a disturbance of the machine affects all of them.
"""

from bench.scenarios.counting import counting
from bench.scenarios.gil_contention import gil_contention
from bench.scenarios.lifetime import memory, starting
from bench.scenarios.reading import drain, flood, groups, holding, latency, server
from bench.scenarios.traffic import Scenario
from bench.scenarios.writing import sending

SCENARIOS: dict[str, Scenario] = {
    "drain": drain,
    "flood": flood,
    "holding": holding,
    "sending": sending,
    "server": server,
    "latency": latency,
    "gil_contention": gil_contention,
    "groups": groups,
    "starting": starting,
    "memory": memory,
    "counting": counting,
}
