"""``multicast doctor``: find out why nothing arrives."""

from __future__ import annotations

from functools import partial

from .. import options
from ..errors import NOT_HELD
from ..signals import handled
from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ...apps import diagnosis as app
    from ..output import Output

# Seconds to listen.
_DURATION = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``doctor``."""
    parser.epilog = (
        "The exit code is 0 if datagrams arrive and nothing is wrong, and 1 if a cause was found. "
        "Run doctor as root to prove more. Without --peer, it sends no datagrams."
    )
    options.add_endpoints(parser, "find out why nothing arrives for", several=False)
    options.add_seconds(
        parser,
        "-d",
        "--duration",
        help="listen for this time, and again on all interfaces if nothing arrives; with --serve, end after this time "
        f"(default: {_DURATION:g}; no limit with --serve)",
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument(
        "--peer",
        metavar="HOST",
        help="compare both ends: this host and the given one, which sends and must run doctor --serve",
    )
    ends.add_argument(
        "--serve", action="store_true", help="send and listen for hosts that run doctor --peer, until Ctrl-C"
    )
    parser.add_argument(
        "--reverse", action="store_true", help="with --peer, send from this host and have the peer listen"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the findings; return 0 if nothing is wrong and 1 otherwise."""
    if args.reverse and args.peer is None:
        options.usage_error(args, "argument --reverse: needs --peer")
    if args.serve and args.endpoints is not None:
        options.usage_error(args, "argument ENDPOINT: not allowed with --serve")
    if args.serve:
        return _serve(args.duration, out)
    duration = _DURATION if args.duration is None else args.duration
    (endpoint,) = options.endpoints_of(args)
    from ...apps.diagnosis import diagnose, diagnose_at_peer, diagnose_with_peer  # noqa: PLC0415 - see the top of the package

    def say_joined() -> None:
        who = f"{args.peer} listens" if args.reverse else "listening"
        out.remark(f"{who} to {endpoint} for {duration:g} s")

    with handled() as signals:
        if args.reverse:
            look = partial(diagnose_at_peer, host=args.peer)
        elif args.peer is not None:
            look = partial(diagnose_with_peer, host=args.peer, is_over=signals.has_ended)
        else:
            look = partial(diagnose, is_over=signals.has_ended)
        found = look(endpoint, duration=duration, on_joined=say_joined)
        for finding in found.findings:
            _print(finding, out)
        if out.json:
            out.record("summary", _summary(found))
        elif not found.can_see_packets and any(one.confidence != "proven" for one in found.findings):
            out.remark(
                "run it as root (or with the capability CAP_NET_RAW) to see what reaches the interfaces"
            )
        return signals.exit_code(0 if found.is_fine else NOT_HELD)


def _serve(duration: float | None, out: Output) -> int:
    """Send probes for other hosts until a signal, or for ``duration`` seconds."""
    from ...apps.diagnosis import Server  # noqa: PLC0415 - see the top of the package

    served = 0

    def report(kind: str) -> None:
        if out.json:
            out.record(kind, {"served": served})
        else:
            out.remark(f"{number(served, 'request')} served")

    with handled() as signals, Server() as server:
        out.remark(f"serving on TCP port {server.port}")
        for client, endpoint in server.served(signals.reporting(lambda: report("interim"), duration)):
            served += 1
            if out.json:
                out.record("request", {"client": client, "endpoint": endpoint})
            elif not out.quiet:
                out.line(f"{client}: {endpoint}")
        report("summary")
        return signals.exit_code(0)


def _print(finding: app.Finding, out: Output) -> None:
    if out.json:
        record: dict[str, object] = {
            "cause": finding.cause,
            "confidence": finding.confidence,
            "proof": dict(finding.proof),
            "fix": finding.fix,
            "text": finding.text,
        }
        out.record("finding", record)
    elif out.quiet:
        out.line(finding.cause)
    elif not out.is_terminal:
        out.line(f"{finding.cause}\t{finding.confidence}\t{finding.text}\t{finding.fix}")
    else:
        text = f" ({finding.confidence}): {finding.text}"
        out.verdict(finding.cause, text, is_good=finding.cause == "ok")
        lines = [f"  fix: {finding.fix}"] if finding.fix else []
        if out.verbose:
            lines += [f"  {name}: {_shown(value)}" for name, value in finding.proof.items()]
        for line in lines:
            out.line(line)


def _shown(value: object) -> str:
    """Return a fact of a proof in words."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    entries: Any = value
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(one)}" for key, one in entries.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in entries) or "none"
    return str(value)


def _summary(found: app.Diagnosis) -> dict[str, object]:
    return {
        "endpoint": str(found.endpoint),
        "interface": found.interface,
        "causes": [one.cause for one in found.findings],
        "received": found.received,
        "packets_visible": found.can_see_packets,
    }
