"""The orchestrator must send an order that the offline provider understands to an agent that has the tool for it."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pytest

from iskra_agents import Architect, Ask, Coder, Debug
from iskra_agents.routing.context import RoutingContext
from iskra_agents.routing.levels import Level
from iskra_agents.routing.router import Router
from iskra_plugins.offline.commands import Kind, read_request
from iskra_sdk import Agent
from iskra_sdk.clock import SystemClock

AGENTS: Sequence[Agent] = (Ask(), Coder(), Architect(), Debug())
ROUTER = Router(SystemClock())
TOOLS = {
    "list": "list_files",
    "read": "read_file",
    "search": "search_in_code",
    "write": "write_file",
    "execute": "execute_command",
}
ORDERS = [
    "read README.md",
    "please read README.md",
    "show me the file docs/index.md",
    "list files in docs",
    "what is in docs?",
    "search for CircuitBreaker",
    "where is CircuitBreaker defined?",
    "run `python -V`",
    "please run the command `ls -la`!",
    "execute `git status`",
    "write `hello` to notes.txt",
    "create a file notes.txt with `hello`",
    "write to notes.txt: `hello`",
    "read a.txt and then run `ls`",
    "read a.txt, then write `x` to b.txt",
    "1. read a.txt\n2. run `ls`",
    "find Error in core",
    "write `why does it fail` to error.txt",
    "read README.md and then save `x` in plan.txt",
    "прочитай README.md",
    "что лежит в docs",
    "найди CircuitBreaker в core",
    "выполни `ls -la`",
    "запусти, пожалуйста, `make`",
    'запиши "привет" в notes.txt',
    "создай файл notes.txt с текстом «ошибка»",
    "прочитай a.txt, затем выполни `ls`",
    "прочитай a.txt, а потом запиши «x» в b.txt",
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_agent_has_the_tools(order: str) -> None:
    wanted = {
        TOOLS[clause.intent.name] for clause in read_request(order) if clause.kind is Kind.ORDER and clause.intent
    }
    assert wanted
    choice = ROUTER.choose(order, AGENTS, RoutingContext())
    assert choice.level is not Level.LOW
    chosen = next(agent for agent in AGENTS if agent.name == choice.agent)
    assert {tool for tool in wanted if any(fnmatchcase(tool, glob) for glob in chosen.tools)} == wanted
