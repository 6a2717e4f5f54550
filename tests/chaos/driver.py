"""Carry out steps on the real network and the real receivers, and keep the model informed."""

import contextlib
from collections.abc import Callable, Iterable

from tests.chaos.interfaces import InterfaceSteps
from tests.chaos.processes import ProcessSteps
from tests.chaos.receivers import ReceiverSteps
from tests.chaos.steps import Step

QUIET = {"add", "send", "settle", "fork"}
"""Actions during which there is no traffic. During all others, settled memberships must continue to receive."""


class Driver(InterfaceSteps, ReceiverSteps, ProcessSteps):
    """Carries out every step."""

    def perform(self, step: Step) -> bool:
        """Carry out a step, unless an earlier one made it impossible. Return whether it was possible.

        Raises:
            FaultError: The product broke a rule of the model.
        """
        action: Callable[..., bool | None] = getattr(self, step.action)
        self.note(str(step))
        known = step.action == "add" or step.arguments.get("interface", "") in {"", *self.model.interfaces}
        with contextlib.nullcontext() if step.action in QUIET else self.traffic():
            possible = known and action(**step.arguments) is not False
        if not possible:
            self.note("  not possible now")
        self.model.check()
        return possible

    def perform_all(self, steps: Iterable[Step]) -> None:
        """Carry out all steps."""
        for step in steps:
            self.perform(step)
