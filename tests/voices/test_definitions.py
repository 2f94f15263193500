"""Every clause of a voice's prompt is a check that an answer can fail."""

from dataclasses import replace

import pytest

from iskra_voices.catalogue import SEVEN, VoiceCatalogue
from iskra_voices.policy import Check, Policy, Scene
from iskra_voices.settings import CRISIS_HELP_EN

CATALOGUE = VoiceCatalogue(("maki", "sibyl"))

ASKED = "We must finish the yearly report on Friday, and I am so tired of it."
SCENE = Scene(
    asked=ASKED,
    said=["We write a report of ten pages.", "The yearly report has 12 tables.", ASKED],
    facts=["The yearly report has 12 tables."],
    claims={"C1": "The yearly report has 12 tables.", "C2": "Nobody reads the report."},
)
ROUND = replace(
    SCENE,
    contributions={"kain": "The report costs the release.", "sam": "Write the tables first."},
    conflicts=[("kain", "sam")],
)

GOOD = {
    "kain": '"finish the yearly report", but nobody reads it. It costs a week. Choose: the report or the rest.',
    "pino": "Imagine the report writes you. Try to hand in only the first page of the report.",
    "sam": "Goal: finish the report.\n1. Check the tables.\n2. Write the pages.\n3. Finish the report.\n"
    "Done when: the report is finished.\nNext step: check the tables.",
    "anhantha": "I hear how tired you are. There is no rush. What is heaviest about it?",
    "hundun": "Assumption dropped: somebody wants paper.\nFrame 1: a phone call, ten minutes.\n"
    "Frame 2: an exhibition, each table on a wall.\n→ Sam",
    "iskriv": "| claim | source | status |\n|---|---|---|\n| C1 | tool | holds |\n| C2 | none | open |\n"
    "Who reads it?\nVerdict: modify\nFix: ask the readers.",
    "iskra": "Kain: the report costs the release. Sam: write the tables first.\n"
    "Kain and Sam are against each other about the order; that stays an open question.\n"
    "∆: the price is known.\nD: your own numbers.\nΩ: 0.7, because nobody asked the readers.\n"
    "Λ: write one table today.",
    "maki": "Stays: the yearly report, on one page.\nLearned: short is read.",
    "sibyl": "Path 1: if the data come, then ten pages.\nPath 2: if not, then one.\nSign: a mail by noon.",
}

GOOD_RUSSIAN = {
    "kain": "«нужен отчёт к пятнице», но никто его не читает. Цена — неделя. Выбирай: отчёт или отдых.",
    "pino": "Представь, что отчёт пишет тебя. Попробуй сдать только первую страницу отчёта.",
    "sam": "Цель: отчёт.\n1. Проверить отчёт.\n2. Записать отчёт.\n3. Закончить отчёт.\n"
    "Готово, когда: отчёт готов.\nСледующий шаг: проверить отчёт.",
    "anhantha": "Слышу, как ты устал. Можно не спешить. Что в этом тяжелее всего?",
    "hundun": "Допущение отброшено: кто-то ждёт бумагу.\nРамка 1: звонок на десять минут.\n"
    "Рамка 2: выставка таблиц на стене.\n→ Сэм",
    "iskriv": "| утверждение | источник | статус |\n|---|---|---|\n| C1 | нет | открыто |\nВердикт: изменить\n"
    "Правка: спросить читателей.",
    "iskra": "Сначала отчёт.\n∆: порядок ясен.\nД: ваш список.\nΩ: 70 %, потому что дата открыта.\n"
    "Λ: напишите страницу.",
    "maki": "Остаётся: отчёт, одна страница.\nПонято: короткое читают.",
    "sibyl": "Путь 1: если данные придут, то десять страниц.\nПуть 2: если нет, то одна.\nПризнак: письмо до полудня.",
}
ASKED_RUSSIAN = "Мне нужен отчёт к пятнице, а я очень устал."
SCENE_RUSSIAN = Scene(asked=ASKED_RUSSIAN, said=[ASKED_RUSSIAN], claims={"C1": "Отчёт нужен к пятнице."}, language="ru")

LONG = " ".join(f"word{number}" for number in range(200))

# voice, demand, an answer that breaks it and perhaps others
BROKEN = [
    ("kain", "quotes_the_conversation", '"a sentence nobody said", but so. It costs a week. Choose: yes or no.'),
    ("kain", "quotes_the_conversation", "No quotation, but so. It costs a week. Choose: yes or no."),
    ("kain", "states_the_conflict", '"finish the yearly report". It costs a week. Choose: yes or no.'),
    ("kain", "names_a_consequence", '"finish the yearly report", but nobody reads it. Choose: yes or no.'),
    ("kain", "gives_one_choice", '"finish the yearly report", but it costs a week.'),
    (
        "kain",
        "gives_one_choice",
        '"the yearly report", but it costs. Choose: this or that. Decide now: Friday or never.',
    ),
    ("kain", "is_short", f"{GOOD['kain']} {LONG}"),
    ("kain", "does_not_soften", f"{GOOD['kain']} Perhaps it is so. Maybe not. It seems fine."),
    ("kain", "does_not_insult", f"{GOOD['kain']} You are an idiot."),
    ("kain", "does_not_insult", f"{GOOD['kain']} Ты просто трус."),
    ("kain", "does_not_lecture", f"{GOOD['kain']}\n- sleep\n- eat\n- plan"),
    ("pino", "inverts_once", "Try to hand in only the first page of the report."),
    ("pino", "inverts_once", "Imagine the report sleeps. Imagine it sings. Try one page of the report."),
    ("pino", "returns_to_the_task", "Imagine the report writes you. Try an ice cream."),
    ("pino", "offers_one_option", "Imagine the report writes you, all of the report."),
    ("pino", "offers_one_option", "Imagine the report writes you. Try a page. Let's begin with the report."),
    ("pino", "jokes_once_at_most", "Haha. Imagine the report writes you 😄. Try one page of the report, lol."),
    ("pino", "leaves_pain_alone", "Imagine your grief as a clown. Try one page of the report."),
    ("sam", "names_the_goal", GOOD["sam"].replace("Goal: finish the report.\n", "")),
    ("sam", "has_three_to_seven_steps", GOOD["sam"].replace("2. Write the pages.\n3. Finish the report.\n", "")),
    ("sam", "has_three_to_seven_steps", GOOD["sam"].replace("3. F", "".join(f"{n}. Do.\n" for n in range(3, 9)))),
    ("sam", "says_when_it_is_done", GOOD["sam"].replace("Done when: the report is finished.\n", "")),
    ("sam", "ends_with_a_step", f"{GOOD['sam']}\nGood luck!"),
    (
        "sam",
        "brings_nothing_new",
        GOOD["sam"].replace("the tables", "blockchain marketing synergy influencers podcasts"),
    ),
    ("anhantha", "reflects_the_feeling", "There is no rush. What is heaviest about it?"),
    ("anhantha", "reflects_the_feeling", "I hear a waterfall. There is no rush. What is heaviest about it?"),
    ("anhantha", "permits_a_pause", "I hear how tired you are. What is heaviest about it?"),
    ("anhantha", "asks_one_open_question", "I hear how tired you are. There is no rush."),
    ("anhantha", "asks_one_open_question", "I hear how tired you are. There is no rush. What is it? How is it?"),
    ("anhantha", "asks_one_open_question", "I hear how tired you are. There is no rush. Is it heavy?"),
    ("anhantha", "is_sparse", f"{GOOD['anhantha']} {LONG}"),
    ("anhantha", "gives_no_list", f"{GOOD['anhantha']}\n- sleep\n- eat"),
    ("anhantha", "does_not_diagnose", f"{GOOD['anhantha']} This is a depression."),
    ("anhantha", "does_not_advise", f"{GOOD['anhantha']} You should sleep."),
    ("anhantha", "does_not_advise", f"{GOOD['anhantha']} Тебе нужно поспать."),
    ("anhantha", "claims_no_feelings", f"{GOOD['anhantha']} I feel sad with you."),
    ("anhantha", "promises_nothing", f"{GOOD['anhantha']} Everything will be fine."),
    ("hundun", "drops_an_assumption", GOOD["hundun"].partition("\n")[2]),
    ("hundun", "offers_two_frames", GOOD["hundun"].replace("Frame 2: an exhibition, each table on a wall.\n", "")),
    ("hundun", "offers_two_frames", GOOD["hundun"].replace("an exhibition, each table on a wall", "a phone call, ten")),
    ("hundun", "does_not_repeat", ASKED),
    ("hundun", "leaves_facts_alone", f"The yearly report has 15 tables.\n{GOOD['hundun']}"),
    ("hundun", "hands_back", GOOD["hundun"].replace("→ Sam", "")),
    ("iskriv", "tables_the_claims", "Verdict: modify\nFix: ask the readers."),
    ("iskriv", "claims_resolve", GOOD["iskriv"].replace("| C2 |", "| C9 |")),
    ("iskriv", "asks_little", f"{GOOD['iskriv']}\nWhy? When? Where?"),
    ("iskriv", "gives_a_verdict", GOOD["iskriv"].replace("Verdict: modify", "Verdict: splendid")),
    ("iskriv", "gives_a_verdict", f"{GOOD['iskriv']}\nVerdict: approve"),
    ("iskriv", "proposes_a_fix", GOOD["iskriv"].replace("Fix: ask the readers.", "Fix: none")),
    ("iskra", "uses_every_voice", GOOD["iskra"].replace("Sam: write the tables first.", "Sam: hello.")),
    ("iskra", "uses_every_voice", GOOD["iskra"].replace("Kain: the report costs the release.", "")),
    ("iskra", "states_open_conflicts", GOOD["iskra"].replace("Kain and Sam are against", "They are against")),
    ("iskra", "says_what_changed", GOOD["iskra"].replace("∆: the price is known.\n", "")),
    ("iskra", "says_what_it_stands_on", GOOD["iskra"].replace("D: your own numbers.\n", "")),
    ("iskra", "says_how_sure_and_why", GOOD["iskra"].replace("0.7, because", "1.0, because")),
    ("iskra", "says_how_sure_and_why", GOOD["iskra"].replace("0.7, because nobody asked the readers.", "0.7")),
    ("iskra", "says_how_sure_and_why", GOOD["iskra"].replace("0.7, because", "100 %, because")),
    ("iskra", "names_the_next_step", GOOD["iskra"].replace("write one table today.", "write.")),
    ("maki", "says_what_stays", "Learned: short is read."),
    ("maki", "says_what_was_learned", "Stays: the yearly report."),
    ("maki", "opens_nothing_new", f"{GOOD['maki']}\nWhat now?"),
    ("maki", "is_short", f"{GOOD['maki']} {LONG}"),
    ("sibyl", "shows_two_or_three_paths", "Path 1: if so, then ten pages.\nSign: a mail."),
    ("sibyl", "names_a_sign", GOOD["sibyl"].replace("Sign", "Omen")),
    ("sibyl", "foretells_nothing", f"{GOOD['sibyl']}\nIt will inevitably end so."),
]


def scene_for(voice: str) -> Scene:
    return ROUND if voice == "iskra" else SCENE


def broken(policy: Policy, answer: str, scene: Scene) -> set[str]:
    return {check.name for check in policy.broken(answer, scene)}


@pytest.mark.parametrize("voice", GOOD)
def test_a_good_answer_meets_every_demand(voice: str) -> None:
    assert broken(CATALOGUE.named(voice), GOOD[voice], scene_for(voice)) == set()


@pytest.mark.parametrize("voice", GOOD_RUSSIAN)
def test_a_good_answer_in_russian_meets_every_demand(voice: str) -> None:
    assert broken(CATALOGUE.named(voice), GOOD_RUSSIAN[voice], SCENE_RUSSIAN) == set()


@pytest.mark.parametrize(("voice", "demand", "answer"), BROKEN)
def test_an_answer_that_breaks_a_demand_is_found(voice: str, demand: str, answer: str) -> None:
    assert demand in broken(CATALOGUE.named(voice), answer, scene_for(voice))


def test_every_demand_of_every_voice_has_an_answer_that_breaks_it() -> None:
    demands = {(policy.name, check.name) for policy in CATALOGUE.policies for check in policy.checks}
    tested = {(voice, demand) for voice, demand, _ in BROKEN}
    assert demands - tested == {("anhantha", "points_to_help_in_a_crisis")}
    assert tested <= demands


def test_help_is_named_in_a_crisis() -> None:
    scene = replace(SCENE, in_crisis=True, resources=CRISIS_HELP_EN)
    anhantha = CATALOGUE.named("anhantha")
    assert broken(anhantha, GOOD["anhantha"], scene) == {"points_to_help_in_a_crisis"}
    assert broken(anhantha, f"{GOOD['anhantha']}\n{CRISIS_HELP_EN}", scene) == set()


def test_nobody_jokes_with_somebody_in_pain() -> None:
    pino = CATALOGUE.named("pino")
    assert broken(pino, GOOD["pino"], replace(SCENE, pain=0.29)) == set()
    assert broken(pino, GOOD["pino"], replace(SCENE, pain=0.30)) == {"leaves_pain_alone"}


def test_every_demand_stands_in_the_prompt() -> None:
    for policy in CATALOGUE.policies:
        for check in policy.checks:
            assert f"- {check.demand}\n" in policy.preamble


@pytest.mark.parametrize("voice", GOOD)
def test_the_example_of_a_prompt_keeps_to_the_form(voice: str) -> None:
    """What depends on the conversation it cannot keep; lists, labels and lengths it does."""
    policy = CATALOGUE.named(voice)
    scene = Scene(asked="the report", said=["we have no time for the report data", "I am tired of the report"])
    assert broken(policy, policy.example, scene) <= {"reflects_the_feeling"}


def test_a_check_that_fails_itself_holds_up_no_answer() -> None:
    def fails(_answer: str, _scene: Scene) -> bool:
        raise RuntimeError("a mistake in a check")

    policy = replace(SEVEN[0], checks=[Check("fails", "Fail.", fails)])
    assert policy.broken("anything", SCENE) == []


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("cain", "kain"),
        ("[KAIN]", "kain"),
        ("Кайн", "kain"),
        ("ПИНО", "pino"),
        ("Сэм", "sam"),
        ("сем", "sam"),
        ("sem", "sam"),
        ("anhantra", "anhantha"),
        ("анханта", "anhantha"),
        ("anhaktra", "anhantha"),
        ("huyndun", "hundun"),
        ("хуньдунь", "hundun"),
        ("Искрив", "iskriv"),
        ("искра", "iskra"),
        ("Spark", "iskra"),
        ("и\u0306скра".replace("и\u0306", "и"), "iskra"),
        ("Кай\u0306н".replace("й\u0306", "и\u0306"), "kain"),  # decomposed, as macOS types it
    ],
)
def test_a_voice_answers_to_its_other_names(name: str, canonical: str) -> None:
    assert CATALOGUE.named(name).name == canonical


def test_optional_voices_are_off_unless_asked_for() -> None:
    assert [voice.name for voice in VoiceCatalogue().voices(with_parameters=True) if not voice.switched_off] == [
        "sam",
        "kain",
        "pino",
        "iskriv",
        "anhantha",
        "hundun",
        "iskra",
        "auto",
    ]
    assert CATALOGUE.get("Маки") is not None
    assert VoiceCatalogue().get("Маки") is None
    off = [voice for voice in VoiceCatalogue(["maki"]).voices(with_parameters=True) if voice.switched_off]
    assert [voice.name for voice in off] == ["sibyl"]
    assert "`optional_voices`" in off[0].switched_off


def test_no_two_voices_share_a_name() -> None:
    names = [name for voice in CATALOGUE.voices(with_parameters=True) for name in (voice.name, *voice.aliases)]
    assert len(names) == len(set(names))
    assert {"искра", "Искра", "[kain]", "[KAIN]"} <= set(names)
