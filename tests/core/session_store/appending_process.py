"""Appends to a store until it is killed, and says on its standard output what was acknowledged.

``python appending_process.py DATA_DIR ROUND``
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from iskra.session_store import open_store
from iskra_sdk.errors import SessionNotFoundError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import MessageId, SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import SYSTEM
from iskra_sdk.session_store import AppendEvent, AppendMessage, CreateSession, ReserveSeq, Session, StoredMessage

TASKS = 16


async def append(data_dir: Path, first: int) -> None:
    store = await open_store(data_dir=data_dir)
    now = datetime.now(UTC)

    async def work(session_id: SessionId) -> None:
        try:
            await store.session(SYSTEM, session_id)
        except SessionNotFoundError:
            await store.apply([CreateSession(Session(session_id, "anna", now, now))])
        number = first
        while True:
            number += 1
            message = StoredMessage(MessageId(f"m{number}"), session_id, number, Message.user("x" * 200), now)
            event = Event(EventType.SESSION_UPDATED, {"n": number}, session_id=session_id, seq=number, at=now)
            await store.apply([AppendMessage(message), AppendEvent(event), ReserveSeq(session_id, number)])
            os.write(1, f"{session_id} {number}\n".encode())

    await asyncio.gather(*(work(SessionId(f"ses_{task}")) for task in range(TASKS)))


asyncio.run(append(Path(sys.argv[1]), int(sys.argv[2]) * 1_000_000))
