"""``iskra chat``: a conversation in the terminal."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iskra.cli.terminal import DataDirOption, UrlOption, connect, say, shown, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iskra_sdk.client import ApprovalInfo, IskraClient, QuestionInfo, TurnStream
    from iskra_sdk.client.turn_progress import DecisionLike, TextJoiner
    from iskra_sdk.event import Event

_HELP = """\
/model NAME     talk to another model, e.g. /model agent:coder; /model alone lists them
/new            begin a new session
/sessions       list sessions
/resume NUMBER  go on with a session of that list (or with its id)
/help           this list
/quit           leave (so does Ctrl-D)
Ctrl-C cancels the answer under way; twice leaves."""


def chat(
    model: Annotated[str, typer.Option("--model", "-m", help="Who answers, e.g. agent:coder.")] = "iskra",
    session: Annotated[str | None, typer.Option("--session", "-s", help="Session to go on with.")] = None,
    once: Annotated[str | None, typer.Option("--once", help="Send this one message, print the answer, leave.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Show each answer formatted, once it is complete.")
    ] = False,
    deny: Annotated[bool, typer.Option("--deny", help="Deny whatever needs an approval, instead of asking.")] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Talk to the server: streamed answers, approvals asked in place."""
    with connect(url, data_dir, on_reconnect=_tell_reconnect) as client:
        conversation = _Conversation(client, model, session, formats=markdown, denies=deny, is_quiet=once is not None)
        if once is not None:
            raise typer.Exit(0 if conversation.send(once) else 1)
        client.health()
        raise typer.Exit(_converse(conversation))


def _tell_reconnect(_delay: float, cause: Exception | None) -> None:
    tell("[the server closed the stream; reconnecting]" if cause is None else "[connection lost; reconnecting]")


def _converse(conversation: "_Conversation") -> int:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() line editing and history
    say(f"Talking to {conversation.model}. /help lists the commands, Ctrl-D leaves.")
    while True:
        try:
            line = input("\nyou> ").strip()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            return 0
        if not line:
            continue
        if line in ("/quit", "/exit"):
            return 0
        try:
            if line.startswith("/") and conversation.command(line):
                continue
            conversation.send(line)
        except KeyboardInterrupt:
            print()
            return 130
        except Exception as error:
            from iskra_sdk.errors import IskraError

            if not isinstance(error, IskraError):
                raise
            from iskra.cli.terminal import show_error

            show_error(error)


class _Conversation:
    """What is kept between two messages, and how a turn is shown."""

    def __init__(
        self,
        client: "IskraClient",
        model: str,
        session: str | None,
        *,
        formats: bool,
        denies: bool,
        is_quiet: bool,
    ) -> None:
        self.client = client
        self.model = model
        self.session = session
        self._formats = formats
        self._denies = denies
        self._is_quiet = is_quiet
        self._is_interactive = sys.stdin.isatty()
        self._writes_raw = not sys.stdout.isatty()
        self._listed: list[str] = []
        self._column = 0

    def send(self, text: str) -> bool:
        """Send a message and show the answer; return whether the turn was completed."""
        from iskra_sdk.message import clean_text

        stream = self.client.stream(
            clean_text(text), self.session, self.model, on_approval=self._approve, on_question=self._answer
        )
        self.session = stream.start().session_id
        return self._show(stream)

    def _show(self, stream: "TurnStream") -> bool:
        """Show a turn to its end; the first Ctrl-C cancels it, the second passes."""
        from iskra_sdk.client.turn_progress import TextJoiner

        joiner = TextJoiner()
        was_cancelled = False
        while not stream.is_finished:
            try:
                with stream:
                    for event in stream:
                        self._show_event(event, joiner)
            except KeyboardInterrupt:
                if was_cancelled or stream.turn is None:
                    raise
                was_cancelled = True
                tell("\n[cancelling; press Ctrl-C again to leave]")
                stream.cancel("by the user")
        if self._formats and stream.text:
            self._show_formatted(stream.text)
        self._end_line()
        if stream.error is not None:
            from iskra.cli.terminal import show_error

            show_error(stream.error)
            return False
        return True

    def _show_event(self, event: "Event", joiner: "TextJoiner") -> None:
        piece = joiner.piece(event)
        if piece and not self._formats:
            self._write(piece)
            return
        data = event.data
        match str(event.type):
            case "message.reset":
                self._note("the server takes the last part back and begins it again")
            case "tool.started" if not self._is_quiet:
                self._note("running a tool")
            case "tool.completed" if not self._is_quiet:
                self._note(f"{data.get('tool', 'tool')} is done")
            case "tool.failed":
                self._note(f"{data.get('tool', 'tool')} failed: {data.get('message') or data.get('content') or ''}")
            case "agent.switched" if not self._is_quiet:
                self._note(f"{data.get('to')} answers")
            case "server.stopping":
                self._note("the server is stopping; waiting for it to come back")
            case "approval.expired":
                self._note("nobody decided in time")

    def _write(self, text: str) -> None:
        # A script gets the answer's own bytes; a terminal gets nothing that could move its cursor.
        out = text if self._writes_raw else shown(text.replace("\r\n", "\n"))
        sys.stdout.write(out)
        sys.stdout.flush()
        self._column = len(out) - out.rfind("\n") - 1 if "\n" in out else self._column + len(out)

    def _end_line(self) -> None:
        if self._column:
            print(flush=True)
        self._column = 0

    def _note(self, text: str) -> None:
        self._end_line()
        tell(f"[{text}]")

    def _show_formatted(self, text: str) -> None:
        from rich.markdown import Markdown

        from iskra.cli.terminal import console

        console().print(Markdown(shown(text), hyperlinks=False))

    # What the server asks ----------------------------------------------------------------------------------------

    def _approve(self, request: "ApprovalInfo") -> "DecisionLike":
        from iskra.cli.approvals import describe_approval
        from iskra_sdk.client import Decision

        self._end_line()
        print("\nThis needs your approval:", file=sys.stderr)
        for line in describe_approval(request):
            print(line, file=sys.stderr)
        if self._denies:
            tell("[denied, as --deny says]")
            return False
        if not self._is_interactive:
            tell(f"[waiting; decide with `iskra approvals approve {request.code}` or `… deny {request.code}`]")
            return None
        always = ", [a]lways from now on" if request.offers_rule else ""
        while True:
            reply = _prompt(f"Approve? [y]es{always}, [n]o, [e]dit the arguments, [l]ater: ").lower()
            if always and reply in ("a", "always", "в", "всегда"):
                return Decision(approve=True, remember=True)
            if reply in ("y", "yes", "д", "да"):
                return True
            if reply in ("n", "no", "н", "нет"):
                return Decision(approve=False, remark=_prompt("Tell the agent why (may be empty): "))
            if reply in ("l", "later", "п", "позже"):
                tell(f"[waiting; `iskra approvals approve {request.code}` decides it from another terminal]")
                return None
            if reply in ("e", "edit"):
                edited = _edited(request.arguments)
                if edited is not None:
                    return Decision(approve=True, arguments=edited)

    def _answer(self, question: "QuestionInfo") -> str | None:
        self._end_line()
        if not self._is_interactive:
            tell(f"[the agent asks: {question.question}; it waits for an answer in this session]")
            return None
        print(shown(f"\n{question.question}"))
        for number, option in enumerate(question.options, 1):
            print(shown(f"  {number}. {option}"))
        while True:
            reply = _prompt("answer> ")
            if reply:
                return _chosen(reply, question.options)

    # Commands ----------------------------------------------------------------------------------------------------

    def command(self, line: str) -> bool:
        """Carry out a line that begins with a slash; return False if it is a message after all."""
        name, _, argument = line.partition(" ")
        argument = argument.strip()
        match name:
            case "/help":
                say(_HELP)
            case "/model":
                self._choose_model(argument)
            case "/new":
                self.session = None
                say("A new session begins with your next message.")
            case "/sessions":
                self._list_sessions()
            case "/resume":
                self._resume(argument)
            case _ if Path(name).exists():
                return False
            case _:
                say(f"There is no command {name}. /help lists them.")
        return True

    def _choose_model(self, model: str) -> None:
        known = [info.id for info in self.client.models()]
        if not model:
            say("\n".join(f"{'*' if name == self.model else ' '} {name}" for name in known))
        elif model in known or model.startswith("llm:"):
            self.model = model
            say(f"{model} answers from now on.")
        elif f"agent:{model}" in known:
            self._choose_model(f"agent:{model}")
        else:
            say(f"Nobody answers to {model!r}. /model lists who does.")

    def _list_sessions(self) -> None:
        sessions = self.client.sessions.list(limit=20)
        self._listed = [session.id for session in sessions]
        for number, session in enumerate(sessions, 1):
            when = f"{session.updated_at.astimezone():%Y-%m-%d %H:%M}" if session.updated_at else ""
            mark = "*" if session.id == self.session else " "
            say(f"{mark}{number:3}  {when}  {session.title or '(no title)'}  {session.id}")
        if not sessions:
            say("There is no session yet.")

    def _resume(self, which: str) -> None:
        if which.isdigit() and 0 < int(which) <= len(self._listed):
            which = self._listed[int(which) - 1]
        if not which:
            say("Say which: /resume NUMBER of /sessions, or /resume ID.")
            return
        session = self.client.sessions.get(which)
        self.session, self.model = session.id, session.agent or self.model
        for message in self.client.sessions.messages(session.id)[-6:]:
            role, content = message.message.get("role"), message.message.get("content")
            if role in ("user", "assistant") and isinstance(content, str) and content:
                say(f"{'you' if role == 'user' else message.agent or 'answer'}> {content}")
        say(f"[going on with {session.title or session.id}; {self.model} answers]")
        turns = self.client.turns.list(session.id, limit=1)
        if turns and not turns[0].is_finished:
            self._show(self.client.attach(turns[0], on_approval=self._approve, on_question=self._answer))


def _prompt(text: str) -> str:
    try:
        return input(text).strip()
    except EOFError:
        # Ctrl-D at a question must not answer it.
        raise KeyboardInterrupt from None


def _chosen(reply: str, options: "Sequence[str]") -> str:
    if reply.isdigit() and 0 < int(reply) <= len(options):
        return options[int(reply) - 1]
    return reply


def _edited(arguments: str) -> "Mapping[str, object] | None":
    """Let the person edit JSON text in place; ``None`` when what comes out is no JSON object."""
    import json

    with contextlib.suppress(ImportError):
        import readline

        readline.set_startup_hook(lambda: readline.insert_text(arguments))
    try:
        text = _prompt("arguments> ")
    finally:
        with contextlib.suppress(ImportError):
            import readline

            readline.set_startup_hook(None)
    try:
        edited = json.loads(text)
    except ValueError as exc:
        tell(f"That is no JSON: {exc}.")
        return None
    if not isinstance(edited, dict):
        tell('The arguments must be a JSON object, e.g. {"path": "notes.txt"}.')
        return None
    return edited
