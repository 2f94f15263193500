"""The agent that answers questions."""

from iskra_agents.prompt import READ_BACK, read_prompt
from iskra_sdk import Agent


class Ask(Agent):
    name = "ask"
    description = "Answers questions, and looks into the files of the workspace when that helps; it changes nothing."
    examples = (
        "What does this project do?",
        "How do approvals work?",
        "Read README.md",
        "Where is the circuit breaker defined?",
        "Что делает этот проект?",
        "Как подключить модель?",
        "Прочитай README.md",
        "Что лежит в docs?",
    )
    prompt = read_prompt("ask")
    tools = ("read_file", "list_files", "search_in_code", *READ_BACK)
