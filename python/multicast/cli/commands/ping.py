"""``multicast ping``: who is in a group, and how do unicast and multicast reach them?"""

from __future__ import annotations

from ..._common import argument_types
from ..._common.constants import PING_PORT
from .. import options
from ..errors import NOT_HELD, NOTHING_RECEIVED, print_error
from ..signals import handled
from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ...apps import ping as app
    from ...endpoints import Endpoint
    from ..output import Output
    from ..signals import Signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ping``."""
    parser.epilog = (
        "The exit code is 0 if any host answered and --expect was met, 1 if it was not met, 70 if no host answered at "
        "all, and 130 after Ctrl-C."
    )
    parser.add_argument(
        "endpoint",
        metavar="ENDPOINT",
        type=argument_types.endpoint,
        help="ping the members of SOURCE@GROUP:PORT%%INTERFACE, in which only the group is required. Without a "
        "source, every host that runs ping --answer replies; with one, only the source does, which may run ssmpingd "
        f"instead (default port: {PING_PORT})",
    )
    options.add_interface(parser)
    parser.add_argument(
        "--answer", action="store_true", help="answer requests, including those of asmping and ssmping"
    )
    parser.add_argument(
        "-c", "--count", type=argument_types.count, help="send this many requests (default: until Ctrl-C)"
    )
    options.add_seconds(
        parser, "--interval", check=argument_types.factor, default=1.0, help="wait this long between requests"
    )
    options.add_seconds(
        parser,
        "-t",
        "--timeout",
        default=1.0,
        help="wait this long for replies after the last request",
    )
    options.add_duration(parser)
    options.add_expect(parser, "hosts answered by multicast")


def run(args: argparse.Namespace, out: Output) -> int:
    """Ping or answer until the end; return the exit code."""
    from dataclasses import replace  # noqa: PLC0415 - see the top of the package

    given: Endpoint = args.endpoint
    endpoint = replace(given, interface=given.interface or args.interface)
    with handled() as signals:
        if args.answer:
            return _answer(endpoint, args, out, signals)
        return _ping(endpoint, args, out, signals)


def _answer(endpoint: Endpoint, args: argparse.Namespace, out: Output, signals: Signals) -> int:
    from ...apps.ping import Responder  # noqa: PLC0415 - see the top of the package

    answered = 0

    def report(kind: str) -> None:
        if out.json:
            out.record(kind, {"answered": answered})
        out.remark(f"{number(answered, 'request')} answered")

    with Responder(endpoint) as responder:
        out.remark(f"answering requests to {endpoint.group} on port {responder.port}")
        _say_socket(responder, out)
        for one in responder.answers(signals.reporting(lambda: report("interim"), args.duration)):
            answered += 1
            if out.json:
                out.record(
                    "answer",
                    {"client": one.client, "seq": one.sequence, "group": one.group, "error": one.error},
                )
            if one.error is not None:
                out.remark(f"not answered completely: {one.error}")
            elif not out.json and not out.quiet:
                out.line(
                    f"answered {one.client}: seq={one.sequence} group={one.group or 'none that is served here'}"
                )
            if args.count is not None and answered >= args.count:
                break
    report("summary")
    return signals.exit_code(0)


def _ping(endpoint: Endpoint, args: argparse.Namespace, out: Output, signals: Signals) -> int:
    from ...apps.ping import Ping  # noqa: PLC0415 - see the top of the package

    def report_refusal(reason: str | None) -> None:
        if not out.quiet:
            print_error("ping", "sending again" if reason is None else f"{reason} (trying again)")

    with Ping(endpoint) as ping:
        target = endpoint.sources[0] if endpoint.sources else endpoint.group
        out.remark(f"pinging {target}, replies to {endpoint.group}")
        _say_socket(ping, out)
        replies = ping.replies(
            args.count,
            interval=args.interval,
            wait=args.timeout,
            is_over=signals.reporting(lambda: _summarize(ping, "interim", out), args.duration),
            on_refusal=report_refusal,
        )
        for reply in replies:
            if out.json:
                out.record("reply", _reply_record(reply))
            elif not out.quiet:
                out.line(_reply_line(reply))
        _summarize(ping, "summary", out)
        if not ping.hosts:
            group = type(endpoint)(endpoint.group, endpoint.port)
            out.remark(f"no host answered (run this on the hosts to reach: multicast ping {group} --answer)")
    if not ping.hosts:
        return signals.exit_code(NOTHING_RECEIVED)
    heard = sum(host.multicast.received > 0 for host in ping.hosts.values())
    return signals.exit_code(0 if heard >= (args.expect or 0) else NOT_HELD)


def _say_socket(one: app.Ping | app.Responder, out: Output) -> None:
    if out.verbose:
        from ...apps.ping import TTL  # noqa: PLC0415 - see the top of the package

        where = f" on {one.interface}" if one.interface else ""
        out.remark(f"joined the group{where}, sending from UDP port {one.port} with TTL {TTL}")


def _reply_record(reply: app.Reply) -> dict[str, object]:
    return {
        "host": reply.host,
        "kind": reply.kind,
        "seq": reply.sequence,
        "time_ms": round(reply.time_ms, 3),
        "hops": reply.hops,
        "duplicate": reply.is_duplicate,
    }


def _reply_line(reply: app.Reply) -> str:
    hops = "unknown" if reply.hops is None else str(reply.hops)
    duplicate = " (duplicate)" if reply.is_duplicate else ""
    return (
        f"{reply.host}: {reply.kind} seq={reply.sequence} hops={hops} time={reply.time_ms:.3f} ms{duplicate}"
    )


def _summarize(ping: app.Ping, record: str, out: Output) -> None:
    """Write the result of each host, and a summary or an interim one."""
    hosts = sorted(ping.hosts.values(), key=lambda one: one.host)
    if out.json:
        out.records(
            "host",
            [
                {
                    "host": one.host,
                    "unicast": _result_record(one.unicast),
                    "multicast": _result_record(one.multicast),
                }
                for one in hosts
            ],
        )
        out.record(record, {"sent": ping.sent, "hosts": len(hosts)})
    else:
        for one in hosts:
            for kind, result in (("unicast", one.unicast), ("multicast", one.multicast)):
                out.line(_result_line(one.host, kind, result))
    refused = f" ({ping.refused:,} refused by this machine)" if ping.refused else ""
    out.remark(f"{number(ping.sent, 'request')} sent{refused}, {number(len(hosts), 'host')} answered")


def _result_record(result: app.KindResult) -> dict[str, object]:
    times = {
        "min_ms": result.min_ms,
        "avg_ms": result.avg_ms,
        "max_ms": result.max_ms,
        "stddev_ms": result.stddev_ms,
    }
    return {
        "sent": result.sent,
        "received": result.received,
        "loss_percent": round(result.loss_percent, 3),
        "late_loss_percent": round(result.late_loss_percent, 3),
        "duplicates": result.duplicates,
        "hops": result.hops,
        **{name: None if value is None else round(value, 3) for name, value in times.items()},
    }


def _result_line(host: str, kind: str, result: app.KindResult) -> str:
    line = (
        f"{host}: {kind} {result.received}/{result.sent} received, {result.loss_percent:.3g}% lost "
        f"({result.late_loss_percent:.3g}% from seq 2)"
    )
    if result.duplicates:
        line += f", {number(result.duplicates, 'duplicate')}"
    if result.times_ms:
        line += (
            f", min/avg/max/stddev = {result.min_ms:.3f}/{result.avg_ms:.3f}/{result.max_ms:.3f}/"
            f"{result.stddev_ms:.3f} ms"
        )
    return line
