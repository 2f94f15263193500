"""``iskra approvals``."""

from typing import TYPE_CHECKING, Annotated

import typer

from iskra.cli.terminal import DataDirOption, JsonOption, UrlOption, connect, exact, say, show_json, shown

if TYPE_CHECKING:
    from iskra_sdk.client import ApprovalInfo, IskraClient

app = typer.Typer(help="Tool calls that wait for a person.", no_args_is_help=True, rich_markup_mode=None)

_Which = Annotated[str, typer.Argument(metavar="CODE", help="The request's code, e.g. K7Q2, or its id.")]
_Remark = Annotated[str, typer.Option("--remark", "-m", help="Told to the model.")]


@app.command("list")
def list_approvals(
    everything: Annotated[bool, typer.Option("--all", help="Also those that were decided.")] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what waits for a decision."""
    from iskra_sdk.approval import ApprovalState

    with connect(url, data_dir) as client:
        requests = client.approvals.list(state=None if everything else ApprovalState.OPEN)
    if as_json:
        show_json([request.model_dump(mode="json") for request in requests])
        return
    if not requests:
        say("Nothing waits for a decision.")
    for request in requests:
        for line in describe_approval(request):
            print(line)
        if request.state is not ApprovalState.OPEN:
            say(f"  {request.state} by {request.decided_by or 'nobody'}")
        print()


@app.command()
def approve(
    which: _Which,
    remark: _Remark = "",
    always: Annotated[bool, typer.Option("--always", help="Accept the rule that is offered with it, too.")] = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Let a tool call run, exactly as it is shown."""
    with connect(url, data_dir) as client:
        request = _find(client, which)
        client.approvals.approve(request, remark, remember=always)
    say(f"Approved {request.code or request.id}: {request.tool}.")


@app.command()
def deny(which: _Which, remark: _Remark = "", url: UrlOption = None, data_dir: DataDirOption = None) -> None:
    """Refuse a tool call."""
    with connect(url, data_dir) as client:
        request = _find(client, which)
        client.approvals.deny(request, remark)
    say(f"Denied {request.code or request.id}: {request.tool}.")


def describe_approval(request: "ApprovalInfo") -> list[str]:
    """Return lines that show a request, the exact call among them, safe for a terminal."""
    lines = [
        f"{exact(request.code or request.id)}  {exact(request.tool)} ({exact(request.risk)})  {request.agent}".rstrip()
    ]
    # The arguments are canonical JSON: what is approved, to the byte.
    lines.append(f"  call:    {exact(request.tool)} {exact_json(request.arguments)}")
    if request.preview and request.preview.strip() != request.arguments.strip():
        first, *rest = shown(request.preview).splitlines() or [""]
        lines.append(f"  preview: {first}")
        lines.extend(f"           {line}" for line in rest)
    if request.reason:
        lines.append(f"  reason:  {exact(request.reason)}")
    if request.expires_at is not None:
        lines.append(f"  expires: {request.expires_at.astimezone():%Y-%m-%d %H:%M:%S}")
    return lines


def exact_json(text: str) -> str:
    """Return canonical JSON text with characters that could be overlooked as JSON escapes."""
    # JSON escapes control characters itself, so a backslash stays as it is here.
    return "".join(char if char == "\\" else exact(char) for char in text)


def _find(client: "IskraClient", which: str) -> "ApprovalInfo":
    from iskra_sdk.errors import ApprovalNotFoundError

    wanted = which.strip().upper()
    for request in client.approvals.list(limit=200):
        if request.code.upper() == wanted or request.id == which:
            return request
    if "_" in which:
        return client.approvals.get(which)
    raise ApprovalNotFoundError(
        f"No open request has the code {shown(which)!r}.", mend="`iskra approvals list` shows those that wait."
    )
