"""Faults of the session store. What fails here, fails before it reached the database: nothing of it was written."""

from collections.abc import Mapping
from typing import Any

from iskra_chaos.faults.delay import late
from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.injection import Inject
from iskra_sdk.errors import StorageFullError, StoreError, StoreUnavailableError
from iskra_sdk.interceptor import Proceed


async def _be_locked(shot: Shot, payload: Any, proceed: Proceed) -> object:
    raise shot.injected(
        StoreUnavailableError("The database is locked.", mend="Try again; another program holds it for the moment.")
    )


async def _fail_to_read(shot: Shot, payload: Any, proceed: Proceed) -> object:
    raise shot.injected(StoreError("The database could not read its file: disk I/O error."))


async def _be_full(shot: Shot, payload: Any, proceed: Proceed) -> object:
    raise shot.injected(StorageFullError("The disk is full; nothing was written.", mend="Free some space."))


READS: Mapping[str, Inject] = {"slow": late, "locked": _be_locked, "error": _fail_to_read}
WRITES: Mapping[str, Inject] = {"slow": late, "locked": _be_locked, "full": _be_full}
