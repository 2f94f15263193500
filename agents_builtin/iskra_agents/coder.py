"""The agent that writes code."""

from iskra_agents.contexts import CoderContext
from iskra_agents.prompt import READ_BACK, read_prompt
from iskra_sdk import Agent, ToolCall, ToolResult


class Coder(Agent):
    name = "coder"
    description = "Writes and changes code in the workspace, and runs commands to check what it did."
    examples = (
        "Add a --verbose option to the command line",
        "Rename the class Router to LLMRouter everywhere",
        "Write tests for parser.py",
        "Run the tests",
        "Добавь проверку пустой строки в parser.py",
        "Напиши функцию, которая сортирует список по дате",
        "Переименуй класс Router в LLMRouter",
        "Запусти тесты",
    )
    prompt = read_prompt("coder")
    tools = ("read_file", "list_files", "search_in_code", "write_file", "execute_command", *READ_BACK)
    context_model = CoderContext
    max_steps = 50

    def observe(self, context: CoderContext, call: ToolCall, result: ToolResult) -> None:
        context.note(call, result)
