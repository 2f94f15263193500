"""Long results as files: one folder for each session, bounded in size, number and age."""

import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from iskra_sdk.errors import ToolError

_ID = re.compile(r"[A-Za-z0-9_.-]{1,80}\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """Files under one folder.

    Attributes:
        folder: The plugin's own.
        most_bytes: Size of all files together; beyond that the oldest go.
        most_days: Age beyond which a file goes.
    """

    folder: Path
    most_bytes: int
    most_days: float

    def keep(self, session_id: str, effect_id: str, text: str) -> str:
        """Write a text and return its id; whole or not at all."""
        artifact_id = _UNSAFE.sub("-", effect_id)[:80]
        place = self._session_folder(session_id)
        place.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=place, suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(place / f"{artifact_id}.txt")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return artifact_id

    def read(self, session_id: str, artifact_id: str) -> str:
        """Return a text that was kept in the same session.

        Raises:
            ToolError: There is none with this id.
        """
        path = self._session_folder(session_id) / f"{artifact_id}.txt"
        try:
            if _ID.match(artifact_id) and ".." not in artifact_id:
                return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        raise ToolError(
            f"There is no artefact {artifact_id[:80]!r} in this session.",
            mend="Use the id that the shortened result names; old artefacts are removed.",
        )

    def forget(self, session_id: str) -> None:
        """Remove everything of a session."""
        place = self._session_folder(session_id)
        for file in place.glob("*"):
            file.unlink(missing_ok=True)
        if place.exists():
            place.rmdir()

    def tidy(self) -> int:
        """Remove what is too old or too much, oldest first, and return how many files went."""
        files = []
        for file in self.folder.glob("*/*"):
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            files.append((status.st_mtime, status.st_size, file))
        files.sort()
        total = sum(size for _, size, _ in files)
        oldest_kept = time.time() - self.most_days * 86_400
        gone = 0
        for changed, size, file in files:
            if changed >= oldest_kept and total <= self.most_bytes:
                break
            file.unlink(missing_ok=True)
            total -= size
            gone += 1
        for place in self.folder.glob("*"):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        return gone

    def _session_folder(self, session_id: str) -> Path:
        return self.folder / (_UNSAFE.sub("-", session_id)[:80] or "none")
