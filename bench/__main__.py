"""`python -m bench`: runs the scenarios, prints the tables, writes the JSON that `publish.py` and `plot.py` read."""

import argparse
import sys
from pathlib import Path

from bench import report
from bench.guard import require_private_namespace
from bench.plan import FULL, QUICK
from bench.record import Book
from bench.scenarios import SCENARIOS


def main() -> int:
    """Run what the command line asks for.

    Returns:
        The exit code: 0 where everyone present could be measured, 1 where something failed. A missed target is
        no failure.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, one round: proves that it runs")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every round to PATH")
    arguments = parser.parse_args()
    require_private_namespace()

    plan, book = QUICK if arguments.quick else FULL, Book()
    for name in arguments.only or SCENARIOS:
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        SCENARIOS[name](plan, book)
    print(report.measurements(book), report.verdicts(book), report.remarks(book), sep="\n\n")
    if arguments.json:
        report.write_json(arguments.json, plan, book)
    return 1 if book.failures else 0


if __name__ == "__main__":
    sys.exit(main())
