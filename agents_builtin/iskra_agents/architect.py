"""The agent that plans."""

from iskra_agents.contexts import ArchitectContext
from iskra_agents.prompt import READ_BACK, read_prompt
from iskra_sdk import Agent, ToolCall, ToolResult


class Architect(Agent):
    name = "architect"
    description = (
        "Studies the workspace, weighs designs and writes plans; it writes Markdown and leaves the code alone."
    )
    examples = (
        "Plan how to split this module into two services",
        "Compare two ways to store sessions",
        "Write a design document for the cache in docs/cache.md",
        "How should we structure the API?",
        "Спроектируй систему уведомлений",
        "Составь план перехода на PostgreSQL",
        "Сравни два варианта архитектуры",
    )
    prompt = read_prompt("architect")
    tools = ("read_file", "list_files", "search_in_code", "write_file", *READ_BACK)
    context_model = ArchitectContext
    max_steps = 40

    def observe(self, context: ArchitectContext, call: ToolCall, result: ToolResult) -> None:
        context.note(call, result)
