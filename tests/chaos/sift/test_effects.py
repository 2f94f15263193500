import pytest

from chaos.sift.sift_blocks import english_block, russian_block
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.injections.effects import effect_in
from iskra_chaos.sift.injections.injection import inject
from iskra_chaos.sift.markers import canaries
from iskra_chaos.sift.trace import InjectionType

EN = english_block(
    fact__verified_data=["The query cache is full on node 3"], inference__logic_chain=["Users wait in the evening"]
)
RU = russian_block(
    fact__verified_data=["Кэш запросов заполнен на узле 3"], inference__logic_chain=["Пользователи ждут вечером"]
)
PAIR = english_block(
    fact__verified_data=["The query cache is full", "Backups run at midnight"], inference__logic_chain=[]
)
PAIR_RU = russian_block(
    fact__verified_data=["Кэш запросов заполнен", "Копии делаются в полночь"], inference__logic_chain=[]
)


@pytest.mark.parametrize(
    ("block", "injection_type", "silent", "telling"),
    [
        (
            EN,
            "paradox_seeds",
            "The query cache is full. Users wait in the evening.",
            "The query cache is full only if node 3 is up. Users wait in the evening unless the shop is closed.",
        ),
        (
            RU,
            "paradox_seeds",
            "Кэш запросов заполнен. Пользователи ждут вечером.",
            "Кэш запросов заполнен, если узел 3 включён. Пользователи ждут вечером при условии, что магазин открыт.",
        ),
        (
            EN,
            "uncertainty_zones",
            "The query cache is full on node 3.",
            "Is the query cache full on node 3?",
        ),
        (
            RU,
            "uncertainty_zones",
            "Кэш запросов заполнен на узле 3.",
            "Надо проверить, что кэш запросов заполнен на узле 3.",
        ),
        (
            PAIR,
            "emergence_triggers",
            "The query cache is full. Backups run at midnight.",
            "Let backups at midnight warm the query cache with yesterday's orders.",
        ),
        (
            PAIR_RU,
            "emergence_triggers",
            "Кэш запросов заполнен. Копии делаются в полночь.",
            "Пусть копии в полночь прогревают кэш вчерашними заказами.",
        ),
    ],
)
def test_an_answer_shows_the_effect_or_does_not(
    block: SIFTBlock, injection_type: InjectionType, silent: str, telling: str
) -> None:
    injected, record = inject(block, injection_type, 0.4)
    assert effect_in(silent, injected, record).rate == 0.0
    assert effect_in(telling, injected, record).rate == 1.0
    assert effect_in("", injected, record).rate == 0.0


@pytest.mark.parametrize(
    ("block", "verdict"), [(EN, "It is wrong that {}"), (RU, "Это ошибка: {}"), (EN, "The notes are inconsistent: {}")]
)
def test_a_canary_that_is_called_false_is_detected(block: SIFTBlock, verdict: str) -> None:
    shadow, record = inject(block, "contradiction_points", 1.0, sandbox=True)
    (planted,) = canaries(shadow)
    assert effect_in(verdict.format(planted), shadow, record).rate == 1.0
    assert effect_in(planted, shadow, record).rate == 0.0


def test_the_true_fact_against_the_canary_detects_it() -> None:
    shadow, record = inject(EN, "contradiction_points", 1.0, sandbox=True)
    assert effect_in("The query cache is full on node 3.", shadow, record).rate == 1.0


def test_each_branch_states_its_verdict() -> None:
    injected, record = inject(RU, "perspective_shifts", 1.0)
    effect = effect_in("", injected, record)
    assert (effect.shown, effect.total) == (3, 3)
