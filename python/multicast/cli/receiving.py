"""Reports of the commands that receive, beside what they receive: memberships, drops, summaries."""

from __future__ import annotations

import contextlib
import time

from .errors import print_error
from .words import address, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from ..apps.listening import Listener, Totals
    from ..apps.wire import Wire
    from ..endpoints import Endpoint
    from ..types import ReceiverStats
    from .output import Output
    from .signals import Signals

_SECONDS_BETWEEN_WARNINGS = 1.0


def open_listener(
    args: argparse.Namespace, endpoints: list[Endpoint], *, linger: float = 0.0, apart: bool = False
) -> Listener:
    """Return a listener with the options of `options.add_receiving`; the other arguments are those of `Listener`.

    Raises:
        OSError: The system refused.
    """
    from ..apps.listening import Listener  # noqa: PLC0415 - see the top of the package

    return Listener(
        endpoints,
        recv_buffer=args.recv_buffer or "auto",
        linger=linger,
        apart=apart,
        engine=args.engine,
    )


class Report:
    """Reports on the listener of a command.

    Args:
        command: the name of the command.
        out: where to report.
        listener: the listener.
        signals: where SIGUSR1 requests an interim summary.
        fields: returns what the JSON summary has in addition.
    """

    def __init__(
        self,
        command: str,
        out: Output,
        listener: Listener | Wire,
        signals: Signals,
        fields: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._fields = fields
        self._command = command
        self._out = out
        self._listener = listener
        self._signals = signals
        self._warned_at = time.monotonic()
        self._kernel_drops = self._ring_drops = self._filtered = 0
        self._healed = self._changed = 0
        self._outages = _Outages(listener)

    def memberships(self) -> None:
        """Say on standard error what was joined and where, and which of these interfaces are down."""
        joined = self._listener.memberships
        for one, port in joined[:4]:
            sources = f" from {', '.join(one.sources)}" if one.sources else ""
            where = f" on {one.interface}" if one.interface else ""
            self._out.remark(f"listening to {address(one.group, port)}{where}{sources}")
        if len(joined) > 4:
            self._out.remark(f"and to {len(joined) - 4:,} more groups")
        if self._out.verbose:
            for stats in self._listener.stats():
                self._out.remark(_buffer(stats))
        self._report_outages()

    def tick(self) -> None:
        """Warn about drops, filtered datagrams and interfaces that are down, and do as `answer` does.

        It warns at most once a second. Call it several times a second.
        """
        now = time.monotonic()
        if now >= self._warned_at + _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            self._warn(self._listener.totals())
            self._report_outages()
            if self._out.verbose:
                self._report_healing()
        self.answer(contextlib.nullcontext())

    def away(self) -> list[str]:
        """Return the interfaces that are down or gone, for a command that does not call `tick`."""
        self._outages.news()
        return self._outages.away

    def answer(self, place: AbstractContextManager[object]) -> bool:
        """Print an interim summary within ``place`` if SIGUSR1 has requested one; return whether it has."""
        if not self._signals.take_summary_request():
            return False
        with place:
            self._summary("interim")
        return True

    def summary(self) -> Totals:
        """Write the final summary, and return what it says."""
        totals = self._summary("summary")
        self.advise(totals)
        return totals

    def advise(self, totals: Totals) -> None:
        """If nothing was received, say on standard error how to find out why."""
        joined = self._listener.memberships
        if totals.received == 0 and joined:
            from ..endpoints import Endpoint  # noqa: PLC0415 - see the top of the package

            one, port = joined[0]
            endpoint = Endpoint(one.group, port, one.interface, one.sources)
            self._out.remark(f"nothing arrived (find out why: multicast doctor {endpoint})")

    def stuck(self) -> None:
        """Close the listener and write the summary on standard error, because standard output takes no more."""
        self._listener.close()
        self._out.remark("standard output was not read: the datagrams received last were not written")
        self._out.remark(_sentence(self._listener.totals()))

    def _warn(self, totals: Totals) -> None:
        by_kernel, self._kernel_drops = totals.kernel_drops - self._kernel_drops, totals.kernel_drops
        by_program, self._ring_drops = totals.ring_drops - self._ring_drops, totals.ring_drops
        filtered, self._filtered = totals.filtered - self._filtered, totals.filtered
        if self._out.quiet:
            return
        least = "at least " if totals.is_least else ""
        if by_kernel:
            text = f"dropped {least}{number(by_kernel, 'datagram')} here: the receive buffer was full"
            print_error(self._command, f"{text} (request a larger one with --recv-buffer)")
        if by_program:
            text = f"dropped {number(by_program, 'datagram')} here: its output was written too slowly"
            print_error(self._command, text)
        if filtered:
            print_error(
                self._command,
                f"filtered {number(filtered, 'datagram')} of groups, interfaces or senders that were not joined",
            )

    def _report_outages(self) -> None:
        for text in self._outages.news():
            if not self._out.quiet:
                print_error(self._command, text)

    def _report_healing(self) -> None:
        """Say that interfaces changed and groups were rejoined since the last look."""
        stats = self._listener.stats()
        changed, healed = sum(one.interface_events for one in stats), sum(one.rejoins for one in stats)
        if (changed, healed) != (self._changed, self._healed):
            self._out.remark(_healing(changed - self._changed, healed - self._healed))
            self._changed, self._healed = changed, healed

    def _summary(self, kind: str) -> Totals:
        totals = self._listener.totals()
        self._warn(totals)
        self._write(kind, totals)
        return totals

    def _write(self, kind: str, totals: Totals) -> None:
        """Write the counters."""
        if self._out.json:
            self._out.record(kind, {**summary_fields(totals), **self._fields()})
        else:
            self._out.remark(_sentence(totals))
        for one in self._listener.stats():
            if self._out.verbose or one.outage_seconds:
                self._out.remark(_health(one))


class _Outages:
    """Interfaces of a listener that went down or disappeared, and came back."""

    def __init__(self, listener: Listener | Wire) -> None:
        self._listener = listener
        # None: not looked yet. An interface can be down from the start.
        self._changes: int | None = None
        joined = self._joined()
        self._names, self._most = {*joined}, len(joined)
        self._away: dict[str, float] = {}
        self._gone: set[str] = set()

    def news(self) -> list[str]:
        """Return in words what has changed since the last call."""
        changes = sum(one.interface_events for one in self._listener.stats())
        if changes == self._changes:
            return []
        self._changes = changes
        from ..apps.links import links  # noqa: PLC0415 - see the top of the package

        states = {one.name: one.is_up and one.has_carrier for one in links()}
        names = self._joined()
        # A group that moved to another interface has lost nothing; one whose interface was deleted is not listed.
        self._most = max(self._most, len(names))
        self._names = {*names} if len(names) == self._most else {*names, *self._names}
        away, now = {name for name in self._names if not states.get(name)}, time.monotonic()
        # An interface goes down before it is deleted.
        gone, self._gone = self._gone, away - states.keys()
        texts = [
            f"{name} is {'gone' if name in self._gone else 'down'}: nothing arrives on it until it is back"
            for name in sorted((away - self._away.keys()) | (self._gone - gone))
        ]
        texts += [
            f"listening again on {name} after {now - since:.0f} s"
            for name, since in self._away.items()
            if name in self._names - away
        ]
        self._away = {name: self._away.get(name, now) for name in sorted(away)}
        return texts

    @property
    def away(self) -> list[str]:
        """The interfaces that were down or gone at the last call of `news`."""
        return list(self._away)

    def _joined(self) -> list[str]:
        """Return the interface of each membership that has one."""
        return [one.interface for one, _ in self._listener.memberships if one.interface]


def summary_fields(totals: Totals) -> dict[str, object]:
    """Return the fields of the JSON summary."""
    return {
        "received": totals.received,
        "bytes": totals.bytes,
        "kernel_drops": totals.kernel_drops,
        "ring_drops": totals.ring_drops,
        "filtered": totals.filtered,
        "truncated": totals.truncated,
        "invalid": totals.invalid,
        "unassembled": totals.unassembled,
        "duration_s": round(totals.duration, 6),
    }


def left_out(totals: Totals) -> list[str]:
    """Return in words which datagrams were left out, and why."""
    counted = (
        ("filtered", totals.filtered),
        ("truncated", totals.truncated),
        ("invalid", totals.invalid),
        ("not assembled from fragments", totals.unassembled),
    )
    dropped = f"dropped {'at least ' if totals.is_least else ''}{totals.dropped:,} here"
    return [*(f"{what} {count:,}" for what, count in counted if count), dropped]


def _buffer(stats: ReceiverStats) -> str:
    """Return in words the sockets of a receiver, and what the system granted them."""
    wanted, granted = stats.recv_buffer_requested, stats.recv_buffer_actual
    less = f" ({wanted:,} requested)" if wanted and wanted > granted else ""
    return f"{number(stats.sockets, 'socket')} with a receive buffer of {granted:,} bytes{less}"


def _healing(changes: int, rejoins: int) -> str:
    return f"{number(changes, 'change')} of joined interfaces, {number(rejoins, 'membership')} rejoined"


def _health(stats: ReceiverStats) -> str:
    """Return in words what happened to the memberships and the buffers of a receiver."""
    return (
        f"{_healing(stats.interface_events, stats.rejoins)}, {stats.outage_seconds:.1f} s without a working "
        f"interface, at most {number(stats.ring_high_water, 'datagram')} waiting in this program"
    )


def _sentence(totals: Totals) -> str:
    parts = [f"received {number(totals.received, 'datagram')}, {number(totals.bytes, 'byte')}"]
    parts += left_out(totals)
    return f"{', '.join(parts)} in {totals.duration:.1f} s"
