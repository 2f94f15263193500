"""How a plugin stands, for people and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from iskra_sdk.errors import PluginError


class PluginState(StrEnum):
    """Where a plugin stands."""

    RUNNING = "running"
    DISABLED = "disabled"
    FAILED = "failed"
    """Found, but it cannot be used; ``error`` says why."""
    UNAVAILABLE = "unavailable"
    """An optional package it needs is not installed; ``error`` names the command that installs it."""
    QUARANTINED = "quarantined"
    """It failed too often; an admin enables it again, or its code changes."""


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """How a plugin stands.

    Attributes:
        source: ``entry_point``, ``file`` or ``package``.
        generation: The one that runs; 0 for none.
        error: Why it does not run, or why its newest code is not the one that runs.
        failures: What it raised at run time within the last minute.
        offers: What it registered: kind → names.
        settings: Its settings in effect; secrets are masked.
    """

    name: str
    state: PluginState
    source: str
    path: Path
    version: str = ""
    description: str = ""
    permissions: Sequence[str] = ()
    requires: Sequence[str] = ()
    generation: int = 0
    source_hash: str = ""
    loaded_at: datetime | None = None
    error: PluginError | None = None
    failures: int = 0
    offers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def wire(self) -> dict[str, object]:
        """The status as the admin's API shows it."""
        error = self.error
        return {
            "name": self.name,
            "state": self.state,
            "source": self.source,
            "path": str(self.path),
            "version": self.version,
            "description": self.description,
            "permissions": list(self.permissions),
            "requires": list(self.requires),
            "generation": self.generation or None,
            "source_hash": self.source_hash,
            "loaded_at": self.loaded_at,
            "error": None if error is None else {"code": error.code, "message": error.message, "mend": error.mend},
            "failures": self.failures,
            "offers": {kind: list(names) for kind, names in self.offers.items()},
            "settings": dict(self.settings),
        }
