"""``iskra context`` and ``iskra trace``: why an agent did what it did."""

from typing import Annotated

import typer

from iskra.cli.terminal import DataDirOption, JsonOption, UrlOption, connect, say, show_json


def context(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a session's agent would see with the next message."""
    with connect(url, data_dir) as client:
        found = client.sessions.context(session)
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        from iskra.cli.insight_lines import context_lines

        for line in context_lines(found):
            say(line)


def trace(
    turn: Annotated[str, typer.Argument(help="The turn's id.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the steps of a turn: model calls with tokens, tool calls with decisions, handoffs, times."""
    with connect(url, data_dir) as client:
        found = client.turns.get(turn)
        steps = client.turns.steps(turn)
    if as_json:
        show_json({"turn": found.model_dump(mode="json"), "steps": [step.model_dump(mode="json") for step in steps]})
    else:
        from iskra.cli.insight_lines import trace_lines

        for line in trace_lines(found, steps):
            say(line)
