"""The dice themselves."""

import secrets

from iskra_sdk import Tool, tool


def rolling_tool(sides: int) -> Tool:
    """Return the tool that rolls dice with so many sides."""

    @tool(risk="read")
    async def roll_dice(count: int = 1) -> list[int]:
        """Roll dice.

        Args:
            count: How many.
        """
        return [secrets.randbelow(sides) + 1 for _ in range(count)]

    return roll_dice
