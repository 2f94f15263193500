"""``iskra context``, ``trace``, ``replay`` and ``record``: why an agent did what it did, and whether it would again."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iskra.cli.terminal import DataDirOption, JsonOption, UrlOption, connect, say, show_json

if TYPE_CHECKING:
    from iskra_sdk.client import IskraClient


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


_TURN_HELP = "The turn's id, or a session's for its newest turn."


def trace(
    turn: Annotated[str, typer.Argument(help=_TURN_HELP)],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the steps of a turn: model calls with tokens, tool calls with decisions, handoffs, times."""
    with connect(url, data_dir) as client:
        turn = _turn_id(client, turn)
        found = client.turns.get(turn)
        steps = client.turns.steps(turn)
    if as_json:
        show_json({"turn": found.model_dump(mode="json"), "steps": [step.model_dump(mode="json") for step in steps]})
    else:
        from iskra.cli.insight_lines import trace_lines

        for line in trace_lines(found, steps):
            say(line)


def replay(
    turn: Annotated[str, typer.Argument(help=_TURN_HELP)],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a finished turn again on recorded answers, without effects, and show the first difference; exit status 1."""
    with connect(url, data_dir) as client:
        replayed = client.turns.replay(_turn_id(client, turn))
    if as_json:
        show_json(replayed.model_dump(mode="json"))
    elif replayed.difference is None:
        say(f"All {replayed.of} steps are as they were.")
    else:
        say(f"{replayed.steps} of {replayed.of} steps are as they were; step {replayed.difference.index} differs:")
        say(f"  then: {replayed.difference.recorded or '(the turn had ended)'}")
        say(f"  now:  {replayed.difference.now or '(the agent has ended)'}")
    raise typer.Exit(0 if replayed.difference is None else 1)


def _turn_id(client: "IskraClient", given: str) -> str:
    """Return a turn's id; of a session, that of its newest turn."""
    if not given.startswith("ses_"):
        return given
    newest = client.turns.list(given, limit=1)
    if not newest:
        raise typer.BadParameter(f"The session {given} has no turn yet.")
    return newest[0].id


def record(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("recorded_session.py"),
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on: write the file again after each turn, until Ctrl-C.")
    ] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write a session as a test fixture: its messages, and a `ScriptedModel` that answers as its model did."""
    from iskra.cli.recording import write_recording
    from iskra_sdk.event import TURN_ENDED

    if output.exists():
        raise typer.BadParameter(f"{output} exists already; name another with --output.")
    with connect(url, data_dir) as client:
        turns = write_recording(client, session, output)
        say(f"{output}: {len(turns)} turns. Import `TURNS` and `recorded_model` from it.")
        if not follow:
            return
        ended = {turn.id for turn in turns if turn.is_finished}
        with contextlib.suppress(KeyboardInterrupt):
            for event in client.events(session, after=turns[-1].first_seq if turns else 0):
                if event.type in TURN_ENDED and event.turn_id not in ended:
                    say(f"{output}: {len(write_recording(client, session, output))} turns.")
