"""The agent that finds causes."""

from iskra_agents.contexts import DebugContext
from iskra_agents.prompt import READ_BACK, read_prompt
from iskra_sdk import Agent, ToolCall, ToolResult


class Debug(Agent):
    name = "debug"
    description = (
        "Finds the cause of errors: reads code and logs, runs commands, and explains what is wrong; it mends nothing."
    )
    examples = (
        "Why does the test test_login fail?",
        "I get a KeyError in parser.py, what is wrong?",
        "The server hangs after the second request",
        "Почему падает тест test_login?",
        "Программа выдаёт ошибку KeyError, найди причину",
        "Не запускается сервер, помоги разобраться",
    )
    prompt = read_prompt("debug")
    tools = ("read_file", "list_files", "search_in_code", "execute_command", *READ_BACK)
    context_model = DebugContext
    max_steps = 40

    def observe(self, context: DebugContext, call: ToolCall, result: ToolResult) -> None:
        context.note(call, result)
