"""What a run leaves behind: a journal that Chaos Toolkit tools read, with our own part under ``iskra``."""

import asyncio
import json
import logging
import math
import os
import platform
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Self

from pydantic_core import to_jsonable_python

from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.redaction import HIDDEN, Redactor
from iskra_chaos.experiments.verdict import Verdict
from iskra_sdk.ids import new_id

logger = logging.getLogger(__name__)

FORMAT = "1.0"

MAX_TEXT = 65_536
"""Characters of one text that the journal keeps."""

_MOST_ENTRIES = 5000
_MAX_DEPTH = 40
_MAX_BITS = 4096  # of a number; far longer ones cannot even be printed

_UNFINISHED = "The runner did not get to the end of the experiment."


class Journal:
    """Grows while the experiment runs; every save replaces the file in one step.

    Until the end it says ``aborted``, so that the journal of a runner that was killed tells the truth.

    Args:
        document: The journal itself, JSON-able.
        path: Where it is kept; ``None`` keeps it in memory alone.
        redactor: Takes the secrets out of whatever is written.
    """

    def __init__(self, document: dict[str, Any], path: Path | None = None, redactor: Redactor | None = None) -> None:
        self.document = document
        self.path = path
        self._redactor = redactor or Redactor()
        self._started = monotonic()
        self._saving = asyncio.Lock()

    @classmethod
    def begin(cls, experiment: Experiment, redactor: Redactor, path: Path | None = None) -> Self:
        """Return the journal of a run that is about to start."""
        written = dict(experiment.document)
        if "secrets" in written:
            written["secrets"] = _hidden(written["secrets"])
        return cls(
            {
                "chaoslib-version": "1.43.0",
                "platform": platform.platform(),
                "node": platform.node(),
                "experiment": written,
                "start": now(),
                "status": "aborted",
                "deviated": False,
                "steady_states": {"before": None, "after": None, "during": []},
                "run": [],
                "rollbacks": [],
                "iskra": {
                    "format": FORMAT,
                    "id": new_id("experiment"),
                    "level": experiment.iskra.level,
                    "phase": "start",
                    "verdict": "aborted",
                    "reasons": [_UNFINISHED],
                    "critical": [],
                    "experiments_locked": False,
                    "steady_state_after_rollback": None,
                    "expectations": [],
                    "guards": [],
                    "faults": [],
                    "evidence": [],
                    "load": None,
                    "sequential_test": None,
                    "undo": [],
                    "recovery_seconds": None,
                    "controls_not_run": [],
                    "timeline": [],
                },
            },
            path,
            redactor,
        )

    def without_secrets(self, text: str) -> str:
        """Return a text as it may be shown to others."""
        return self._redactor.text(text)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a journal that was written before, also of a run that was killed.

        Raises:
            ExperimentError: The file is no journal.
        """
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise ExperimentError(f"The journal {path} cannot be read: {exc}.") from exc
        if not isinstance(document, dict) or "experiment" not in document:
            raise ExperimentError(f"{path} is no journal of an experiment.")
        return cls(document, path)

    @property
    def own(self) -> dict[str, Any]:
        """Our own part; empty in a journal of the Chaos Toolkit."""
        part: dict[str, Any] = self.document.setdefault("iskra", {})
        return part

    @property
    def verdict(self) -> str:
        """``held``, ``deviated``, ``aborted``, ``failed`` or ``invalid``."""
        return str(self.own.get("verdict", ""))

    @property
    def reasons(self) -> list[str]:
        """Why, one sentence each."""
        return list(self.own.get("reasons", ()))

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return monotonic() - self._started

    def note(self, kind: str, name: str, text: str = "") -> None:
        """Add an entry to the timeline."""
        if kind == "hypothesis" and len(self.own["timeline"]) >= _MOST_ENTRIES:
            # Checks go on for as long as the method does; everything else is bounded by the file.
            return
        at = round(self.elapsed, 3)
        self.own["timeline"].append({"at": at, "time": now(), "kind": kind, "name": name, "text": text})

    def enter(self, phase: str) -> None:
        """Say what the runner does now."""
        self.own["phase"] = phase
        self.note("phase", phase)

    def close(self, verdict: Verdict, status: str, *, deviated: bool) -> None:
        """Write down how it ended."""
        self.enter("end")
        self.own["verdict"] = verdict.name
        self.own["reasons"] = list(verdict.reasons)
        self.document["status"] = status
        self.document["deviated"] = deviated
        self.document["end"] = now()
        self.document["duration"] = self.elapsed

    def redacted(self) -> dict[str, Any]:
        """Return a copy that may be shown."""
        copy = self._redactor.tree(jsonable(self.document))
        assert isinstance(copy, dict)  # noqa: S101 - the tree of a mapping is one
        return copy

    async def save(self) -> None:
        """Write the file, if there is one. What a reader sees is always a whole journal."""
        if self.path is None:
            return
        async with self._saving:
            content = self.redacted()
            await asyncio.to_thread(_write, self.path, content)


def now() -> str:
    """Return the time as the journal writes it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


def _hidden(secrets: object) -> object:
    """Keep the names of secrets, and where they come from."""
    if isinstance(secrets, Mapping):
        if secrets.get("type") in ("env", "vault"):
            return {key: HIDDEN if key == "default" else value for key, value in secrets.items()}
        return {key: _hidden(value) for key, value in secrets.items()}
    return HIDDEN


def jsonable(value: object, depth: int = 0) -> Any:
    """Return a JSON-able copy of whatever a probe returned: nothing of it may keep a journal from being written.

    Long texts are cut, not-a-number becomes ``null``, and what has no JSON form is described.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode(errors="replace")
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MAX_BITS else f"a number of {value.bit_length():,} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _MAX_DEPTH:
        return "… (nested too deep)"
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item, depth + 1) for item in value]
    return _described(value, depth)


def _described(value: object, depth: int) -> Any:
    """Return what pydantic makes of an object, e.g. a dataclass, or else its ``repr``: code of an experiment."""
    for form in (to_jsonable_python, repr):
        try:
            return jsonable(form(value), depth + 1)
        except Exception:
            logger.debug("output has no such form", extra={"type": type(value).__name__, "form": form.__name__})
    return f"<{type(value).__name__}>"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        # A lone surrogate becomes its JSON escape.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
