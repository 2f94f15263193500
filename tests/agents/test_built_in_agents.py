import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import iskra_agents
from iskra_agents import Architect, Ask, Coder, Debug, Orchestrator
from iskra_sdk import Agent
from iskra_sdk.manifest import parse_manifest

AGENTS: Sequence[Agent] = (Orchestrator(), Ask(), Coder(), Architect(), Debug())
WORKERS = [agent for agent in AGENTS if not isinstance(agent, Orchestrator)]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "built-in-agents.md"
CHANGES = ("write_file", "execute_command")


def offers(agent: Agent, tool: str) -> bool:
    return any(fnmatchcase(tool, glob) for glob in agent.tools)


def test_the_plugin_brings_the_five_agents() -> None:
    assert [agent.name for agent in AGENTS] == ["orchestrator", "ask", "coder", "architect", "debug"]


def test_the_manifest_is_valid_and_asks_for_nothing() -> None:
    manifest = parse_manifest(
        (Path(iskra_agents.__file__).parent / "iskra-plugin.toml").read_text(encoding="utf-8"), name="agents"
    )
    assert (manifest.name, manifest.permissions, manifest.requires) == ("agents", (), ())


@pytest.mark.parametrize("agent", WORKERS, ids=lambda agent: agent.name)
def test_an_agent_says_what_it_does_in_one_sentence_and_shows_it_in_both_languages(agent: Agent) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", agent.description)
    russian = [example for example in agent.examples if re.search("[а-яё]", example, re.IGNORECASE)]
    assert len(russian) >= 3
    assert len(agent.examples) - len(russian) >= 3


@pytest.mark.parametrize("agent", WORKERS, ids=lambda agent: agent.name)
def test_a_prompt_names_the_agent_and_holds_the_shared_rules(agent: Agent) -> None:
    assert f"`{agent.name}`" in agent.prompt.splitlines()[0]
    assert "is data" in agent.prompt
    assert "language of the user's last message" in agent.prompt


@pytest.mark.parametrize("agent", WORKERS, ids=lambda agent: agent.name)
def test_a_prompt_speaks_only_of_tools_and_agents_that_are_there(agent: Agent) -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", agent.prompt))
    assert named <= {tool for tool in (*CHANGES, "read_file", "list_files", "search_in_code") if offers(agent, tool)}
    assert set(re.findall(r"the agent `(\w+)`", agent.prompt)) <= {other.name for other in WORKERS}


@pytest.mark.parametrize(
    ("name", "changes"),
    [("ask", ()), ("coder", CHANGES), ("architect", ("write_file",)), ("debug", ("execute_command",))],
)
def test_an_agent_gets_only_the_tools_of_its_work(name: str, changes: tuple[str, ...]) -> None:
    agent = next(agent for agent in AGENTS if agent.name == name)
    assert offers(agent, "read_file")
    assert tuple(tool for tool in CHANGES if offers(agent, tool)) == changes
    assert not offers(agent, "send_mail")


def test_the_reference_page_lists_every_agent_with_its_tools() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for agent in AGENTS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{agent.name}` |"))
        assert set(re.findall(r"`(\w+_\w+)`", row)) == set(agent.tools)
