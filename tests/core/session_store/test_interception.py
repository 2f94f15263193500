from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iskra.interceptors import Points
from iskra.plugin_host.catalog import Owned
from iskra.session_store import open_store
from iskra_sdk.errors import StoreUnavailableError
from iskra_sdk.interceptor import Interceptor, Point, Proceed
from iskra_sdk.session_store import AppendMessage, CreateSession, SessionStore
from iskra_sdk.testing.store_conformance import ANNA, BORIS, fails, make_message, make_session


@pytest.fixture
def points() -> Points:
    return Points()


@pytest.fixture
async def store(tmp_path: Path, points: Points) -> AsyncIterator[SessionStore]:
    store = await open_store(data_dir=tmp_path, points=points)
    yield store
    await store.close()


def intercept(points: Points, *interceptors: Interceptor) -> None:
    points.rebuild([Owned(interceptor, "chaos", 1) for interceptor in interceptors])


async def test_interceptors_see_reads_and_writes(store: SessionStore, points: Points) -> None:
    seen: list[object] = []

    async def watch(payload: Any, proceed: Proceed) -> Any:
        seen.append(payload)
        return await proceed(payload)

    intercept(points, Interceptor(Point.STORE_READ, watch), Interceptor(Point.STORE_WRITE, watch))
    session = make_session()
    changes = [CreateSession(session)]
    await store.apply(changes)
    await store.session(ANNA, session.id)
    await store.messages(ANNA, session.id)
    assert seen == [changes, "session", "messages"]


async def test_an_interceptor_can_change_what_is_written(store: SessionStore, points: Points) -> None:
    async def rename(changes: Any, proceed: Proceed) -> Any:
        return await proceed([CreateSession(replace(change.session, title="renamed")) for change in changes])

    intercept(points, Interceptor(Point.STORE_WRITE, rename))
    session = make_session()
    await store.apply([CreateSession(session)])
    assert (await store.session(ANNA, session.id)).title == "renamed"


async def test_an_interceptor_can_fail_reads_and_writes(store: SessionStore, points: Points) -> None:
    async def fail(payload: object, proceed: Proceed) -> Any:
        raise StoreUnavailableError("chaos")

    session = make_session()
    await store.apply([CreateSession(session)])
    intercept(points, Interceptor(Point.STORE_READ, fail), Interceptor(Point.STORE_WRITE, fail))
    await fails(StoreUnavailableError, store.messages(ANNA, session.id))
    await fails(StoreUnavailableError, store.apply([AppendMessage(make_message(session, 1))]))
    intercept(points)
    assert await store.messages(ANNA, session.id) == []


async def test_an_interceptor_does_not_widen_what_a_principal_sees(store: SessionStore, points: Points) -> None:
    async def twice(payload: object, proceed: Proceed) -> Any:
        await proceed(payload)
        return await proceed(payload)

    session = make_session()
    await store.apply([CreateSession(session)])
    intercept(points, Interceptor(Point.STORE_READ, twice))
    assert await store.sessions(BORIS) == []
    assert [found.id for found in await store.sessions(ANNA)] == [session.id]
