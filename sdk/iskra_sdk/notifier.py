"""Notifiers: how people are told of things while they look elsewhere."""

from dataclasses import dataclass
from typing import Protocol

from iskra_sdk.event import Severity


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to a person.

    Attributes:
        principal_id: Whom to tell.
        title: One line.
        text: The rest, plain text.
        severity: How urgent.
        link: Path of the page to look at, relative to the server, or empty.
    """

    principal_id: str
    title: str
    text: str = ""
    severity: Severity = Severity.INFO
    link: str = ""


class Notifier(Protocol):
    """Delivers notifications, e.g. by e-mail."""

    name: str

    async def notify(self, notification: Notification) -> None:
        """Deliver; the kernel limits the time and logs what is raised."""
