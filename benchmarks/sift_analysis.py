"""Measures how long SIFT blocks take: to build, to analyse at two depths, to inject into and to restore.

Run: ``python benchmarks/run.py sift_analysis``. The blocks are made of the project's own documentation, and of a
Russian text below. "Cold" means that the texts are read for the first time; the deep analysis has twenty neighbours. No
language model is asked.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from iskra_chaos.sift.block import SIFTBlock, read_block
from iskra_chaos.sift.building import ToolResult, block_from_turn, blocks_from_document
from iskra_chaos.sift.depths.deep import deep
from iskra_chaos.sift.depths.surface import surface
from iskra_chaos.sift.injections.injection import inject, revert
from iskra_metrics.text import sentences as sentences_of
from iskra_metrics.utterance import Utterance
from iskra_sdk.errors import InputTooLargeError
from table import Row

DOCS = Path(__file__).parent.parent / "docs"
NEIGHBOURS = 20
TOO_LARGE = b'{"id": "' + b"x" * 10_000_000
MOMENT = datetime(2026, 5, 1, tzinfo=UTC)
RUSSIAN = (
    "Очередь заявок растёт каждый вечер, потому что склад закрывается в шесть часов. Поэтому утром операторы видят "
    "двести заявок сразу. Возможно, часть из них повторяется. Если склад работал бы до девяти, то очередь стала бы "
    "короче. Руководитель считает иначе: людей на складе не хватает с прошлой зимы. В 2021 году смена состояла из "
    "восьми человек. Сейчас в смене пять человек, и заявка ждёт сорок минут."
)


def run(runs: int) -> list[Row]:
    """Measure and return the rows."""
    blocks = documented_blocks()
    talk = conversation()
    largest = max(blocks, key=lambda block: len(block.model_dump_json()))
    raw = largest.model_dump_json()
    injected, record = inject(largest, "perspective_shifts", 1.0)
    russian = block_from_turn("Почему растёт очередь?", RUSSIAN, tool_results=[ToolResult("stock", "c1", RUSSIAN)])
    neighbours = [block for block in blocks if block is not largest][:NEIGHBOURS]
    return [
        _row("a turn becomes a block", lambda: block_from_turn("Почему?", RUSSIAN, recent=talk), runs, 50, 10),
        _row("one block read and checked", lambda: read_block(raw), runs, 5, 1),
        _row("surface, English, cold", lambda: surface(largest, talk), runs, 50, 10, is_cold=True),
        _row("surface, Russian, cold", lambda: surface(russian, talk), runs, 50, 10, is_cold=True),
        _row(
            f"deep among {NEIGHBOURS}, cold", lambda: deep(largest, neighbours, talk, "x"), runs, 500, 100, is_cold=True
        ),
        _row(f"deep among {NEIGHBOURS}, warm", lambda: deep(largest, neighbours, talk, "x"), runs, 500, 50),
        _row("injection, the dearest kind", lambda: inject(largest, "perspective_shifts", 1.0), runs, 50, 10),
        _row("revert", lambda: revert(injected, record.id), runs, 50, 10),
        _row("10 MB refused", _refusal, runs, 5, 1),
    ]


def documented_blocks() -> list[SIFTBlock]:
    """Return the blocks of the first pages of the documentation, at least one more than there are neighbours."""
    blocks: list[SIFTBlock] = []
    for page in sorted(DOCS.rglob("*.md")):
        content = page.read_text(encoding="utf-8")
        blocks += blocks_from_document(content, origin=f"docs/{page.name}", author="Iskra", date="2026", as_of=MOMENT)
        if len(blocks) > NEIGHBOURS:
            break
    assert len(blocks) > NEIGHBOURS, "too little documentation to measure with"
    return blocks


def conversation() -> list[Utterance]:
    """Return eight turns."""
    sentences = sentences_of(RUSSIAN)
    return [Utterance("user" if turn % 2 else "assistant", sentences[turn % len(sentences)]) for turn in range(8)]


def _refusal() -> None:
    try:
        read_block(TOO_LARGE)
    except InputTooLargeError:
        return
    raise AssertionError("ten megabytes were taken")


def _row(
    name: str, work: Callable[[], object], runs: int, commit: float, stretch: float, *, is_cold: bool = False
) -> Row:
    return Row(
        "", name, statistics.median(_times(work, max(5, 3 * runs), is_cold=is_cold)) * 1e3, None, "ms", commit, stretch
    )


def _times(work: Callable[[], object], runs: int, *, is_cold: bool) -> Sequence[float]:
    work()
    gc.collect()
    seconds = []
    for _ in range(runs):
        if is_cold:
            _forget()
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return seconds


def _forget() -> None:
    """Empty the caches of texts that were read."""
    for name, module in list(sys.modules.items()):
        for value in list(vars(module).values()) if name.startswith("iskra_metrics") else ():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
