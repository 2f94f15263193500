from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra.interceptors import Points
from iskra.plugin_host.catalog import Owned
from iskra_sdk.errors import PluginError
from iskra_sdk.interceptor import Interceptor, Point, Position, Proceed


def marking(name: str, log: list[str], *, point: Point, position: Position) -> Owned[Interceptor]:
    async def around(payload: Any, proceed: Proceed) -> Any:
        log.append(f">{name}")
        result = await proceed(payload)
        log.append(f"<{name}")
        return result

    return Owned(Interceptor(point, around, position, name), plugin=name, generation=1)


@given(st.lists(st.tuples(st.sampled_from([Point.TOOL_CALL, Point.TURN]), st.sampled_from(list(Position))), max_size=8))
async def test_outer_ones_come_first_and_equals_keep_their_order(places: list[tuple[Point, Position]]) -> None:
    log: list[str] = []
    points = Points()
    slot = points.slot(Point.TOOL_CALL)
    points.rebuild(
        [marking(str(number), log, point=point, position=position) for number, (point, position) in enumerate(places)]
    )
    mine = [(str(number), position) for number, (point, position) in enumerate(places) if point is Point.TOOL_CALL]
    expected = [name for name, position in mine if position is Position.OUTER]
    expected += [name for name, position in mine if position is Position.INNERMOST]

    async def real(payload: int) -> int:
        log.append("real")
        return payload + 1

    if slot.chain is None:
        assert not mine
        return
    assert await slot.chain(1, real) == 2
    assert log == [f">{name}" for name in expected] + ["real"] + [f"<{name}" for name in reversed(expected)]


async def test_an_interceptor_changes_payload_and_result_and_may_skip_or_repeat_the_real_thing() -> None:
    calls: list[int] = []

    async def real(payload: int) -> int:
        calls.append(payload)
        return payload

    async def doubling(payload: int, proceed: Proceed) -> Any:
        return await proceed(payload * 2) + await proceed(payload * 3)

    async def skipping(payload: int, proceed: Proceed) -> Any:
        return -1 if payload == 3 else await proceed(payload)

    points = Points()
    points.rebuild(
        [
            Owned(Interceptor(Point.TOOL_CALL, skipping, Position.INNERMOST), "a", 1),
            Owned(Interceptor(Point.TOOL_CALL, doubling), "b", 1),
        ]
    )
    chain = points.slot(Point.TOOL_CALL).chain
    assert chain is not None
    assert await chain(1, real) == 1
    assert calls == [2]


async def test_a_slot_follows_every_rebuild() -> None:
    points = Points()
    slot = points.slot(Point.TURN)
    is_set = []
    for interceptors in ([], [marking("one", [], point=Point.TURN, position=Position.OUTER)], []):
        points.rebuild(interceptors)
        is_set.append(slot.chain is not None)
    assert is_set == [False, True, False]
    assert points.slot(Point.TURN) is slot


async def test_a_stream_may_be_wrapped_by_an_asynchronous_generator() -> None:
    async def shouting(payload: str, proceed: Proceed) -> AsyncIterator[str]:
        async for piece in await proceed(payload):
            yield piece.upper()

    async def real(payload: str) -> AsyncIterator[str]:
        async def stream() -> AsyncIterator[str]:
            for letter in payload:
                yield letter

        return stream()

    points = Points()
    points.rebuild([Owned(Interceptor(Point.LLM_STREAM, shouting), "loud", 1)] * 2)
    chain = points.slot(Point.LLM_STREAM).chain
    assert chain is not None
    assert [piece async for piece in await chain("abc", real)] == ["A", "B", "C"]


async def test_what_an_interceptor_raises_passes_but_it_cannot_end_the_server() -> None:
    async def exiting(payload: object, proceed: Proceed) -> object:
        raise SystemExit(3)

    async def failing(payload: object, proceed: Proceed) -> object:
        raise LookupError("nothing here")

    async def real(payload: object) -> object:
        return payload

    points = Points()
    slot = points.slot(Point.TURN)
    points.rebuild([Owned(Interceptor(Point.TURN, exiting), "rude", 1)])
    assert slot.chain is not None
    with pytest.raises(PluginError, match="rude"):
        await slot.chain(None, real)
    points.rebuild([Owned(Interceptor(Point.TURN, failing), "weak", 1)])
    with pytest.raises(LookupError):
        await slot.chain(None, real)
