"""Steps that concern this process: forks, and running out of descriptors."""

import contextlib
import os
import resource
import signal
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

from multicast import UnsupportedError
from tests.chaos.model import FaultError
from tests.chaos.steps import accepted_source
from tests.chaos.world import World

CHILD_SECONDS = 5


class ProcessSteps(World):
    """Each method returns whether it was possible."""

    def fork(self, receiver: str, call: str) -> bool:
        """Fork a child that uses a receiver once and ends: it must not disturb the receivers of this process."""
        if receiver not in self.consumers:
            return False
        self.drain()
        rx = self.consumers[receiver].rx
        core = getattr(rx, "_core", rx)
        with warnings.catch_warnings():
            # Python warns of forking with threads, which is the point here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(CHILD_SECONDS)
                use_in_child(core, call)
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 0:
            raise FaultError(f"{call} of {receiver} in a forked child ended with {code}")
        return True

    def exhaust(self, interface: str, fault: str) -> bool:
        """Disturb an interface while this process cannot open descriptors, and send on the others at the same time."""
        if not self.model.interfaces[interface].works:
            return False
        with no_descriptors():
            possible: bool = getattr(self, fault)(interface)
            self.send(self._everywhere_but(interface), 3)
            for consumer in self.consumers.values():
                consumer.rx.stats()
        return possible

    def _everywhere_but(self, interface: str) -> list[list[str]]:
        return [
            [ledger.port_name, one.group, one.interface, accepted_source(one)]
            for ledger in self.model.ledgers.values()
            for one in ledger.memberships.values()
            if one.interface not in {"", interface}
        ]


def use_in_child(core: Any, call: str) -> None:
    try:
        if call == "stats":
            core.stats()
        elif call == "poll":
            with contextlib.suppress(TimeoutError):
                core.recv_batch(1, 0)
        elif call == "close":
            core.close()
    except UnsupportedError:
        # A receiver with a ring says that it cannot be used in a child.
        return


@contextlib.contextmanager
def no_descriptors() -> Generator[None, None, None]:
    """Let this process open no descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    free = next(number for number in range(soft) if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
