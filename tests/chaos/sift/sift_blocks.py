"""SIFT blocks for tests: one told by hand in each language, and a strategy for generated ones."""

from typing import Any

from hypothesis import strategies as st

from iskra_chaos.sift.block import SIFTBlock, read_block


def english_block(**changes: Any) -> SIFTBlock:
    """A block about a slow server: two facts with a source, a chain of two steps, one doubt."""
    return _block(
        changes,
        origin="assistant(model, sam)",
        facts=[
            "The query cache is off on node 3 [evidence: call-1]",
            "The disk of node 3 holds 97 percent [evidence: call-1]",
            "Backups run at midnight [evidence: call-2]",
        ],
        steps=[
            "The server answers slowly because the query cache is off [f0]",
            "Therefore users wait 900 milliseconds [s0]",
        ],
        zones=[
            {"span": {"start": 0, "end": 20}, "text": "Perhaps the network is slow", "reason": "hedge", "width": 0.6}
        ],
        language="en",
    )


def russian_block(**changes: Any) -> SIFTBlock:
    """The same block in Russian."""
    return _block(
        changes,
        origin="assistant(model, sam)",
        facts=[
            "Кэш запросов выключен на узле 3 [evidence: call-1]",
            "Диск узла 3 заполнен на 97 процентов [evidence: call-1]",
            "Резервные копии делаются в полночь [evidence: call-2]",
        ],
        steps=[
            "Сервер отвечает медленно, потому что кэш запросов выключен [f0]",
            "Поэтому пользователи ждут 900 миллисекунд [s0]",
        ],
        zones=[{"span": {"start": 0, "end": 20}, "text": "Возможно, сеть медленная", "reason": "hedge", "width": 0.6}],
        language="ru",
    )


def _block(
    changes: dict[str, Any],
    *,
    origin: str,
    facts: list[str],
    steps: list[str],
    zones: list[dict[str, Any]],
    language: str,
) -> SIFTBlock:
    raw: dict[str, Any] = {
        "id": "01TESTBLOCK",
        "source": {
            "origin": origin,
            "reliability": 0.8,
            "context": {
                "language": language,
                "evidence": {
                    "call-1": {"kind": "tool", "name": "probe", "reliability": 0.75},
                    "call-2": {"kind": "tool", "name": "cron", "reliability": 0.75},
                },
            },
            "chaos_sensitivity": 0.1,
        },
        "inference": {"logic_chain": steps, "confidence_level": 0.7, "chaos_potential": 0.2},
        "fact": {"verified_data": facts, "uncertainty_zones": zones, "stability_level": 0.75},
        "trace": {},
    }
    for path, value in changes.items():
        part, _, field = path.partition("__")
        raw[part] = {**raw[part], field: value} if field else value
    return read_block(raw)


WORDS = (
    *(
        "cache",
        "server",
        "night",
        "budget",
        "team",
        "release",
        "backup",
        "token",
        "user",
        "naïve",
        "e\u0301",
        "a/b",
        "c~d",
    ),
    *("запрос", "узел", "сервер", "диск", "ночь", "бюджет", "команда", "копия", "ёлка", "数据", "🙂", '"quoted"'),
)
VERBS = (
    "is off",
    "grows to 40",
    "was 12.5 in 2019",
    "may fail",
    "не работает",
    "растёт до 7",
    "выключен",
    "стоит 1 000",
)

_names = st.sampled_from(WORDS)
_sentences = st.builds("{} {} {}".format, _names, st.sampled_from((*WORDS, "[f0]", "[HYP]")), st.sampled_from(VERBS))
_steps = st.one_of(
    st.builds("{}, because {}".format, _sentences, _sentences),
    st.builds("{}, поэтому {} [f0]".format, _sentences, _sentences),
    _sentences,
)
_units = st.sampled_from((0, 0.0, 0.1, 1 / 3, 0.49, 0.7, 0.97, 1, 1.0))
_scalars = st.sampled_from((None, True, False, 0, 1, 1.0, -0.0, 1e-7, 2**60, "", "ё", "\u2028", "/~"))
_objects = st.dictionaries(
    st.sampled_from(("a", "b/c", "~", "span", "ü")), _scalars | st.lists(_scalars, max_size=3), max_size=3
)


@st.composite
def sift_blocks(draw: st.DrawFn) -> dict[str, Any]:
    """Blocks as they come over the wire, with two facts and a step at least, and members left out at random."""
    source = {"origin": draw(_names), "reliability": draw(_units), "context": draw(_objects)}
    if draw(st.booleans()):
        source["chaos_sensitivity"] = draw(st.sampled_from((0, 0.1, 0.49)))
    inference = {
        "logic_chain": draw(st.lists(_steps, min_size=1, max_size=4)),
        "confidence_level": draw(_units),
        "paradoxical_elements": draw(st.lists(_names, max_size=2)),
    }
    if draw(st.booleans()):
        inference["chaos_potential"] = draw(_units)
    fact = {
        "verified_data": draw(st.lists(_sentences, min_size=2, max_size=4)),
        "uncertainty_zones": draw(st.lists(_objects | st.just({"span": "f0", "width": 0.3}), max_size=2)),
    }
    if draw(st.booleans()):
        fact["emergence_triggers"] = draw(st.lists(_names, max_size=2))
    return {"id": "generated", "source": source, "inference": inference, "fact": fact, "trace": {}}
