"""Prompts as Markdown files beside the code, so that they can be read and edited as text."""

from pathlib import Path

READ_BACK = ("read_message", "read_artifact")
"""Tools for what was left out of a conversation or a long result; every agent that uses tools has them."""

_FOLDER = Path(__file__).parent / "prompts"


def read_prompt(name: str) -> str:
    """Return the prompt ``prompts/<name>.md`` followed by the rules that all agents share."""
    parts = [(_FOLDER / f"{file}.md").read_text(encoding="utf-8").strip() for file in (name, "shared_rules")]
    return "\n\n".join(parts)
