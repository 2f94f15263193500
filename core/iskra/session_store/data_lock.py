"""Keeps two servers from working in one data directory."""

import fcntl
import os
from pathlib import Path

from iskra_sdk.errors import DataDirectoryError

_MEND = "Choose a directory this user may write to with `--data-dir` or `ISKRA_DATA_DIR`."


class DataLock:
    """An exclusive lock on a data directory, held until it is released or the process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, data_dir: Path) -> "DataLock":
        """Make the directory if it is missing, and lock it.

        Raises:
            DataDirectoryError: It cannot be used, or another process holds it.
        """
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not truncated here: until the lock is ours, the text is the holder's.
            descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise DataDirectoryError(
                f"The data directory {data_dir} cannot be used: {exc.strerror}.", mend=_MEND
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DataDirectoryError(
                f"The data directory {data_dir} is in use by another server"
                + (f" (process {holder})." if holder else "."),
                mend="Stop that server, or start this one with another `--data-dir`.",
                facts={"pid": int(holder)} if holder.isdigit() else None,
            ) from exc
        except OSError as exc:
            os.close(descriptor)
            raise DataDirectoryError(
                f"The data directory {data_dir} cannot be locked: {exc.strerror}.",
                mend="Use a directory on a local file system.",
            ) from exc
        lock = cls(descriptor)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk: the lock holds all the same, only without a name on it
            pass
        return lock

    def release(self) -> None:
        """Let go of the directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
