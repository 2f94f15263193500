"""Receipts: what a load, reload or unload changed, released and left behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What is left of an old generation."""

    DRAINING = "draining"
    """Turns still run on it; the receipt is complete when they are done."""
    CLEAN = "clean"
    LEAKY = "leaky"
    """Something was left behind; ``leaked`` names it."""
    RESTART_NEEDED = "restart_needed"
    """It holds compiled modules, which a process cannot load anew."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one change of a plugin did.

    Attributes:
        action: ``load``, ``reload``, ``enable``, ``disable``, ``remove`` or ``quarantine``.
        old_generation: The generation that went; 0 for none.
        new_generation: The generation that came; 0 for none.
        old_hash: SHA-256 of the old source; empty for none.
        new_hash: SHA-256 of the new source; empty for none.
        load_seconds: From the request to the swap: trying out, importing, starting.
        swap_seconds: How long the swap itself held the event loop.
        drain_seconds: From the swap until the old generation was gone.
        turns_drained: Turns that finished on the old generation after the swap.
        turns_parked: Turns that had to go on with the new one, because the drain deadline passed.
        released: What was taken back as it should be, counted by kind.
        leaked: What the plugin left behind, named by kind; most of it was cleaned up all the same.
        kept_modules: Libraries the plugin brought in that stay loaded.
        is_code_freed: Whether the old code's memory is free; ``None`` while Python has not collected it yet.
        verdict: The sum of it.
    """

    plugin: str
    action: str
    at: datetime
    old_generation: int = 0
    new_generation: int = 0
    old_hash: str = ""
    new_hash: str = ""
    load_seconds: float = 0.0
    swap_seconds: float = 0.0
    drain_seconds: float = 0.0
    turns_drained: int = 0
    turns_parked: int = 0
    released: Mapping[str, int] = field(default_factory=dict)
    leaked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept_modules: tuple[str, ...] = ()
    is_code_freed: bool | None = None
    verdict: Verdict = Verdict.CLEAN

    @property
    def wire(self) -> dict[str, object]:
        """The receipt as the admin's API shows it."""
        return {
            "plugin": self.plugin,
            "action": self.action,
            "at": self.at,
            "old_generation": self.old_generation or None,
            "new_generation": self.new_generation or None,
            "old_hash": self.old_hash,
            "new_hash": self.new_hash,
            "load_seconds": round(self.load_seconds, 6),
            "swap_seconds": round(self.swap_seconds, 6),
            "drain_seconds": round(self.drain_seconds, 6),
            "turns_drained": self.turns_drained,
            "turns_parked": self.turns_parked,
            "released": dict(self.released),
            "leaked": {kind: list(names) for kind, names in self.leaked.items()},
            "kept_modules": list(self.kept_modules),
            "is_code_freed": self.is_code_freed,
            "verdict": self.verdict,
        }
