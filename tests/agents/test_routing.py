from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_agents import Architect, Ask, Coder, Debug
from iskra_agents.routing.keywords import route
from iskra_sdk import Agent


class Weather(Agent):
    name = "weather"
    description = "Tells the weather of a city."
    examples = ("Will it rain in Paris tomorrow?", "Какая завтра погода в Москве?")


class EventBudget(Agent):
    name = "event_budget"
    description = "Works out what a wedding or a conference will cost."
    examples = ("How much does a wedding for 100 guests cost?", "Посчитай смету свадьбы на 100 гостей")


BUILT_IN: Sequence[Agent] = (Ask(), Coder(), Architect(), Debug())
ALL: Sequence[Agent] = (*BUILT_IN, Weather(), EventBudget())

ROUTES = [
    # English
    ("What does this project do?", "ask"),
    ("How do approvals work?", "ask"),
    ("how do I connect a model?", "ask"),
    ("read README.md", "ask"),
    ("Could you please read README.md", "ask"),
    ("list files in docs", "ask"),
    ("search for CircuitBreaker", "ask"),
    ("Explain what a lease is", "ask"),
    ("where is the router defined?", "ask"),
    ("run `python -V`", "coder"),
    ("please run `pytest -q`", "coder"),
    ("write `hello` to notes.txt", "coder"),
    ("write `an error` to notes.txt", "coder"),
    ("read a.txt and then write `x` to b.txt", "coder"),
    ("Read a.txt and then run `ls`", "coder"),
    ("Add a --verbose option to the command line", "coder"),
    ("Fix the off-by-one in the parser", "coder"),
    ("I want you to rename Router to LLMRouter", "coder"),
    ("Refactor this function", "coder"),
    ("Why does the test test_login fail?", "debug"),
    ("I get a KeyError exception, what is wrong?", "debug"),
    ("The server hangs after the second request", "debug"),
    ("it does not work", "debug"),
    ('Traceback (most recent call last):\n  File "a.py", line 1', "debug"),
    ("Plan how to split this module into two services", "architect"),
    ("Design a cache for the sessions", "architect"),
    ("How should we structure the API? Which architecture fits?", "architect"),
    ("Compare two ways to store sessions", "architect"),
    # Russian
    ("Что делает этот проект?", "ask"),
    ("Как подключить модель?", "ask"),
    ("прочитай README.md", "ask"),
    ("Пожалуйста, прочитай README.md", "ask"),
    ("что лежит в docs", "ask"),
    ("найди CircuitBreaker в core", "ask"),
    ("объясни, что такое аренда", "ask"),
    ("выполни `ls -la`", "coder"),
    ('запиши "привет" в notes.txt', "coder"),
    ("прочитай a.txt, затем запиши `x` в b.txt", "coder"),
    ("Добавь проверку пустой строки в parser.py", "coder"),
    ("исправь опечатку в README.md", "coder"),
    ("не мог бы ты переименовать класс Router", "coder"),
    ("Запусти тесты", "coder"),
    ("Почему падает тест test_login?", "debug"),
    ("Программа выдаёт ошибку, найди причину", "debug"),
    ("не работает вход", "debug"),
    ("Не запускается сервер", "debug"),
    ("Спроектируй систему уведомлений", "architect"),
    ("Составь план перехода на PostgreSQL", "architect"),
    ("Сравни два варианта архитектуры", "architect"),
    # Agents of plugins, by what they say of themselves
    ("Will it rain in Berlin tomorrow?", "weather"),
    ("weather in Oslo", "weather"),
    ("Какая сегодня погода в Казани?", "weather"),
    ("How much will the wedding cost?", "event_budget"),
    ("Посчитай смету свадьбы на 40 гостей", "event_budget"),
    ("@weather what about tomorrow?", "weather"),
    ("@Coder why does this fail", "coder"),
]


@pytest.mark.parametrize(("text", "agent"), ROUTES)
def test_a_message_goes_to_the_agent_it_is_about(text: str, agent: str) -> None:
    assert route(text, ALL).agent == agent


@pytest.mark.parametrize("agent", ALL, ids=lambda agent: agent.name)
def test_every_example_of_an_agent_is_routed_to_it(agent: Agent) -> None:
    assert {example: route(example, ALL).agent for example in agent.examples} == dict.fromkeys(
        agent.examples, agent.name
    )


@pytest.mark.parametrize("text", ["", "👍", "yes", "да", "ok, do that", "…"])
def test_a_message_without_a_subject_goes_to_the_default_agent_without_confidence(text: str) -> None:
    found = route(text, ALL)
    assert (found.agent, found.confidence) == ("ask", 0.0)


def test_only_agents_that_are_there_are_chosen() -> None:
    assert route("run `ls`", [Weather()]).agent == "weather"
    assert route("run `ls`", [Ask(), Debug()]).agent != "coder"


def test_a_mention_of_an_unknown_agent_is_an_ordinary_word() -> None:
    assert route("@nobody read README.md", ALL).agent == "ask"


def test_words_in_quotes_do_not_decide() -> None:
    assert route('read "traceback exception crash.txt"', ALL).agent == "ask"


def test_the_reason_does_not_repeat_the_message() -> None:
    found = route("read the file sesame-0451.txt", ALL)
    assert "0451" not in found.why
    assert "read" in found.why


def test_an_order_is_surer_than_a_remark() -> None:
    assert route("Fix the parser", ALL).confidence > route("about the code", ALL).confidence > 0


def test_no_agents_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no agents"):
        route("read README.md", [])


@given(st.text())
def test_any_text_is_routed_always_to_the_same_agent(text: str) -> None:
    first = route(text, ALL)
    assert first == route(text, ALL)
    assert first.agent in {agent.name for agent in ALL}
    assert 0.0 <= first.confidence <= 1.0


@pytest.mark.parametrize("text", ["a" * 1_000_000, "run " * 250_000, "`" * 1_000_000, "😀" * 250_000, "мир " * 250_000])
def test_a_huge_message_is_routed_at_once(text: str) -> None:
    assert route(text, ALL).agent
