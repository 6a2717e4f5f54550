"""Run the scenarios and print the results: `python -m bench`.

With `--json` every round is written as JSON, which `publish.py` and `plot.py` read.
"""

import argparse
import sys
from pathlib import Path

from bench import report
from bench.guard import require_private_namespace
from bench.plan import FULL, QUICK
from bench.record import Book
from bench.scenarios import SCENARIOS


def main() -> int:
    """Run the scenarios that the command line selects.

    Returns:
        The exit code: 0 if every installed contestant was measured, 1 if one failed. A missed target is not a
        failure.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Compare multicast with a C loop and with other libraries."
    )
    parser.add_argument(
        "--quick", action="store_true", help="run one round with small counts, to show that everything works"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SCENARIOS,
        metavar="SCENARIO",
        help=f"run only these: {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every round to PATH")
    arguments = parser.parse_args()
    require_private_namespace()

    plan, book = QUICK if arguments.quick else FULL, Book()
    for name in arguments.only or SCENARIOS:
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        SCENARIOS[name](plan, book)
    print(*report.sections(book), sep="\n\n")
    if arguments.json:
        report.write_json(arguments.json, plan, book)
    return 1 if book.failures else 0


if __name__ == "__main__":
    sys.exit(main())
