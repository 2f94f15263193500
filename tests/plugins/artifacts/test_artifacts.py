import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins import artifacts
from iskra_plugins.artifacts import shortened
from iskra_plugins.artifacts.artifact_store import ArtifactStore
from iskra_sdk import Interceptor, Tool, ToolContext, ToolResult, tool
from iskra_sdk.errors import ToolError
from iskra_sdk.ids import EffectId, SessionId
from iskra_sdk.testing import PluginHarness
from iskra_sdk.tool import ToolInvocation

MINE, OTHERS = SessionId("ses_mine"), SessionId("ses_others")


def call_context(session: SessionId = MINE, effect: str = "turn_1.2") -> ToolContext:
    return ToolContext(session_id=session, effect_id=EffectId(effect))


@tool(risk="read")
async def speak(length: int) -> str:
    """Say a lot."""
    return "".join(f"{number:07} " for number in range(length // 8))


async def run(harness: PluginHarness, length: int, context: ToolContext) -> ToolResult:
    (interceptor,) = harness.registered("register_interceptors")
    assert isinstance(interceptor, Interceptor)

    async def proceed(invocation: ToolInvocation) -> ToolResult:
        return await invocation.tool.run(invocation.arguments, invocation.context)

    result: ToolResult = await interceptor.around(ToolInvocation(speak, {"length": length}, context), proceed)
    return result


async def read(harness: PluginHarness, context: ToolContext, **arguments: object) -> str:
    reader: Tool = harness.tools["read_artifact"]
    return (await reader.run(reader.validate(arguments), context)).content


async def test_a_long_result_is_shortened_and_can_be_read_in_pieces() -> None:
    async with PluginHarness.open(artifacts) as harness:
        result = await run(harness, 80_000, call_context())
        assert len(result.content) < 25_000
        assert 'read_artifact("turn_1-2", offset=18000)' in result.content
        assert result.content.startswith("0000000 ")
        assert result.content.endswith("0009999 ")
        pieces, offset = "", 0
        while offset < 80_000:
            head, _, piece = (await read(harness, call_context(), artifact_id="turn_1-2", offset=offset)).partition(
                "\n"
            )
            assert head == f"[characters {offset} to {offset + len(piece)} of 80000]"
            pieces, offset = pieces + piece, offset + len(piece)
        assert pieces == "".join(f"{number:07} " for number in range(10_000))


async def test_a_short_result_stays_as_it_is() -> None:
    async with PluginHarness.open(artifacts) as harness:
        assert len((await run(harness, 20_000, call_context())).content) == 20_000
        assert not (harness.context.data_dir / "sessions").exists()


async def test_an_artefact_is_there_for_its_session_only() -> None:
    async with PluginHarness.open(artifacts) as harness:
        await run(harness, 80_000, call_context())
        with pytest.raises(ToolError, match="no artefact"):
            await read(harness, call_context(OTHERS), artifact_id="turn_1-2")
        for wrong in ("../ses_mine/turn_1-2", "turn_1-2.txt", "", "..", "a/b", "x" * 500, "turn_1-2\0"):
            with pytest.raises(ToolError, match="no artefact"):
                await read(harness, call_context(OTHERS if "mine" in wrong else MINE), artifact_id=wrong)


async def test_a_full_disk_costs_the_rest_and_not_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    async with PluginHarness.open(artifacts) as harness:
        monkeypatch.setattr(ArtifactStore, "keep", fail)
        assert len((await run(harness, 80_000, call_context())).content) == 80_000


def test_old_and_too_many_files_go_and_those_of_a_deleted_session(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, most_bytes=2500, most_days=1)
    for number in range(5):
        store.keep(f"ses_{number}", "e", "x" * 1000)
        os.utime(tmp_path / f"ses_{number}" / "e.txt", (time.time() - 10 + number,) * 2)
    os.utime(tmp_path / "ses_4" / "e.txt", (time.time() - 100_000,) * 2)
    assert store.tidy() == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ses_2", "ses_3"]
    store.forget("ses_2")
    store.forget("ses_never")
    with pytest.raises(ToolError):
        store.read("ses_2", "e")
    assert store.read("ses_3", "e") == "x" * 1000


@given(st.text(max_size=300), st.integers(20, 200))
def test_a_shortened_text_keeps_its_ends(text: str, most: int) -> None:
    short = shortened(text, most, "<{}>")
    if len(text) <= most:
        assert short == text
    else:
        assert short.startswith(text[: int(most * 0.75)])
        assert short.endswith(text[-(most - int(most * 0.75)) :])
        assert f"<{len(text) - most}>" in short
