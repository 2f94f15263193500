import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_agents import Architect, Ask, Coder, Debug
from iskra_agents.routing.context import RoutingContext
from iskra_agents.routing.levels import Level
from iskra_agents.routing.router import Router
from iskra_sdk import Agent, ToolCall, ToolResult
from iskra_sdk.testing import ManualClock

BUILT_IN: Sequence[Agent] = (Ask(), Coder(), Architect(), Debug())


class Weather(Agent):
    name = "weather"
    description = "Tells the weather of a city."
    examples = ("Will it rain in Paris tomorrow?", "Какая завтра погода в Москве?")


@pytest.fixture
def router() -> Router:
    return Router(ManualClock())


def failed_test() -> RoutingContext:
    context = RoutingContext(last_agents=["coder"])
    context.note_call(*command(["pytest", "-q"], 1))
    return context


def command(argv: list[str], status: int) -> tuple[ToolCall, ToolResult]:
    call = ToolCall("c1", "execute_command", json.dumps({"command": " ".join(argv)}))
    return call, ToolResult("", data={"argv": argv, "exit_status": status}, is_error=status != 0)


@pytest.mark.parametrize("text", ["fix it", "исправь", "почини это", "and now?", "please fix that", "в чём дело?"])
def test_what_leans_on_a_failure_goes_to_debug(router: Router, text: str) -> None:
    assert router.choose(text, BUILT_IN, failed_test()).agent == "debug"


def test_a_failure_counts_until_the_same_command_succeeds(router: Router) -> None:
    context = failed_test()
    context.note_call(*command(["ls"], 0))
    assert context.last_error == {"what": "pytest -q", "how": "exit status 1"}
    context.note_call(*command(["pytest", "-q"], 0))
    assert not context.last_error
    assert router.choose("fix it", BUILT_IN, context).agent == "coder"


def test_a_failure_does_not_hold_back_a_new_subject(router: Router) -> None:
    assert router.choose("read README.md and tell me the licence", BUILT_IN, failed_test()).agent == "ask"
    assert router.choose("спроектируй схему базы для заказов", BUILT_IN, failed_test()).agent == "architect"


@pytest.mark.parametrize("text", ["yes, go ahead", "да, давай", "👍", "ok", "???", "   "])
def test_what_says_nothing_goes_to_who_answered_last(router: Router, text: str) -> None:
    assert router.choose(text, BUILT_IN, RoutingContext(last_agents=["ask", "architect"])).agent == "architect"
    assert router.choose(text, BUILT_IN, RoutingContext()).agent == "ask"
    # An agent that has been disabled since cannot go on.
    assert router.choose(text, BUILT_IN, RoutingContext(last_agents=["ask", "weather"])).agent == "ask"


def test_a_mention_decides(router: Router) -> None:
    choice = router.choose("@architect fix the typo in main.py", BUILT_IN, failed_test())
    assert (choice.agent, choice.level) == ("architect", Level.HIGH)


def test_a_plugins_agent_joins_at_once_and_leaves_at_once(router: Router) -> None:
    text = "Will it rain in London tomorrow?"
    assert router.choose(text, BUILT_IN, RoutingContext()).agent != "weather"
    assert router.choose(text, [*BUILT_IN, Weather()], RoutingContext()).agent == "weather"
    assert router.choose("какая погода в Казани?", [*BUILT_IN, Weather()], RoutingContext()).agent == "weather"
    assert router.choose(text, BUILT_IN, RoutingContext()).agent != "weather"
    for message in ("Fix the typo in main.py", "Why does the test fail?", "спроектируй схему базы для заказов"):
        assert router.choose(message, [*BUILT_IN, Weather()], RoutingContext()).agent != "weather"


def test_changed_examples_count_at_once(router: Router) -> None:
    class Changed(Weather):
        examples = ("Order a pizza for lunch", "Закажи пиццу")
        description = "Orders food."

    text = "order a pizza with mushrooms for lunch"
    assert router.choose(text, [*BUILT_IN, Weather()], RoutingContext()).agent != "weather"
    assert router.choose(text, [*BUILT_IN, Changed()], RoutingContext()).agent == "weather"


def test_only_plugins_agents_can_be_chosen_from(router: Router) -> None:
    assert router.choose("Will it rain tomorrow?", [Weather()], RoutingContext()).agent == "weather"
    choice = router.choose("something quite different", [Weather(), Ask()], RoutingContext())
    assert choice.agent == "ask"


def test_where_the_classifier_is_unsure_the_user_is_asked_among_the_likeliest(router: Router) -> None:
    sure = router.choose("fix the typo in main.py", BUILT_IN, RoutingContext())
    assert (sure.agent, sure.level, sure.is_confirmed) == ("coder", Level.HIGH, True)
    unsure = router.choose("blue elephants, obviously", BUILT_IN, RoutingContext())
    assert (unsure.level, unsure.is_confirmed) == (Level.LOW, False)
    assert unsure.options[0] == unsure.agent
    assert set(unsure.options) == {agent.name for agent in BUILT_IN}


def test_a_plugins_agent_without_a_word_in_common_leaves_the_choice_sure(router: Router) -> None:
    text = "why does the login test fail since yesterday?"
    alone = router.choose(text, BUILT_IN, RoutingContext())
    assert router.choose(text, [*BUILT_IN, Weather()], RoutingContext()).level is alone.level is Level.HIGH


def test_a_plugins_agent_is_not_asked_about_where_its_words_agree(router: Router) -> None:
    choice = router.choose("Will it rain in London tomorrow?", [*BUILT_IN, Weather()], RoutingContext())
    assert (choice.agent, choice.level) == ("weather", Level.MEDIUM)


def test_a_choice_is_remembered_for_an_hour_and_by_user_where_the_session_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()
    router = Router(clock)
    judged: list[str] = []
    original = Router._choose

    def counted(self: Router, text: str, agents: Sequence[Agent], context: RoutingContext) -> object:
        judged.append(text)
        return original(self, text, agents, context)

    monkeypatch.setattr(Router, "_choose", counted)
    empty, used = RoutingContext(), RoutingContext(last_agents=["coder"])
    for user in ("anna", "boris"):
        router.choose("make it shorter", BUILT_IN, empty, user=user)
        router.choose("make  it\nshorter", BUILT_IN, empty, user=user)
    assert len(judged) == 1
    for user in ("anna", "boris", "anna"):
        router.choose("make it shorter", BUILT_IN, used, user=user)
    assert len(judged) == 3
    clock.advance(3601)
    router.choose("make it shorter", BUILT_IN, empty, user="anna")
    assert len(judged) == 4


def test_the_memory_is_bounded() -> None:
    router = Router(ManualClock())
    for number in range(2100):
        router.choose(f"@ask {number}", BUILT_IN, RoutingContext())
    assert len(router._known) == 2048


@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_without_a_whole_model_the_words_decide_and_one_warning_says_so(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "classifier.bin"
    if damage != "missing":
        file.write_bytes(b"" if damage == "empty" else b"ISKRA-ROUTING-1\n{")
    router = Router(ManualClock(), file)
    with caplog.at_level(logging.WARNING):
        assert router.choose("Fix the parser", BUILT_IN, RoutingContext()).agent == "coder"
        assert router.choose("почему падает тест?", BUILT_IN, RoutingContext()).agent == "debug"
        assert router.choose("hmm, blue elephants", BUILT_IN, RoutingContext()).level is Level.LOW
    assert len(caplog.records) == 1
    assert "words alone" in caplog.text


@given(st.text(max_size=500))
def test_any_text_is_sent_to_somebody(text: str) -> None:
    choice = Router(ManualClock()).choose(text, BUILT_IN, failed_test())
    assert choice.agent in {agent.name for agent in BUILT_IN}
    assert text.strip() not in choice.why or len(text.strip()) < 3


def test_nobody_to_choose_from_is_an_error(router: Router) -> None:
    with pytest.raises(ValueError, match="no agents"):
        router.choose("hello", [], RoutingContext())


def test_the_context_keeps_the_newest_few() -> None:
    context = RoutingContext()
    for number in range(8):
        call = ToolCall("c", "write_file", "{}")
        context.note_call(call, ToolResult("", data={"path": f"{number}.py", "created": False}))
        context.note_agent(f"agent{number}", "Do   this", is_task=number == 0)
    assert context.modified_files == ["3.py", "4.py", "5.py", "6.py", "7.py"]
    assert context.last_agents == ["agent5", "agent6", "agent7"]
    assert context.open_task == "Do this"


@pytest.mark.parametrize(
    "text", ["Will it rain in Paris tomorrow?", "will it rain in paris tomorrow", "Какая завтра погода в Москве"]
)
def test_an_example_of_an_agent_goes_to_it_whatever_came_before(router: Router, text: str) -> None:
    choice = router.choose(text, [*BUILT_IN, Weather()], failed_test())
    assert (choice.agent, choice.level) == ("weather", Level.HIGH)
