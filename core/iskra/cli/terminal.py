"""What all commands share with the person at the terminal: where the server is, and how things are shown."""

import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from iskra_sdk.client import IskraClient
    from iskra_sdk.errors import IskraError

UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="ISKRA_URL", help="Address of the server.", show_envvar=True, show_default=False),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="ISKRA_DATA_DIR",
        help="Data directory of the server; the token is read from it.",
        show_envvar=True,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_KEPT = frozenset("\n\t")
_NO_WIDTH = 10_000


def connect(
    url: str | None, data_dir: Path | None, *, on_reconnect: Callable[[float, Exception | None], None] | None = None
) -> "IskraClient":
    """Return a client of the server that the options, the environment or the settings name.

    Raises:
        IskraError: The settings or the token cannot be read.
    """
    import os

    from iskra.settings import load_settings
    from iskra_sdk.client import IskraClient
    from iskra_sdk.client.connection import is_local_url

    settings = load_settings(overrides={"data_dir": data_dir})
    token = os.environ.get("ISKRA_TOKEN") or (settings.token.get_secret_value() if settings.token else None)
    token_file = settings.data_dir / "token"
    address = url or server_url(settings.host, settings.port)
    # The token of this machine's server is for this machine's server only.
    may_use_file = is_local_url(address) and token_file.is_file()
    return IskraClient(
        address,
        token,
        token_file=token_file if may_use_file else None,
        retries=0,
        on_reconnect=on_reconnect,
    )


def server_url(host: str, port: int) -> str:
    """Return the address at which a server bound to ``host`` can be reached from here."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def shown(text: str, *, keep: Iterable[str] = _KEPT) -> str:
    """Return text that cannot do anything to a terminal or deceive its reader.

    Control characters, among them escape sequences, and characters that are invisible or turn the direction of
    writing are written as escapes such as ``\\x1b`` and ``\\u202e``.
    """
    kept = frozenset(keep)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in kept or not _is_unsafe(char) else _escaped(char) for char in text)


def _is_unsafe(char: str) -> bool:
    category = unicodedata.category(char)
    # Cf holds the invisible and the direction-changing, Zl and Zp break lines; joiners are part of emoji and scripts.
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and char not in "\u200c\u200d")


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def exact(text: str) -> str:
    """Return text on one line with every character that could be overlooked written as an escape.

    For commands and arguments that a person approves: line breaks, tabs and odd spaces are visible, and a backslash
    is doubled, so that no two different texts look alike.
    """
    escaped = []
    for char in text:
        if char == "\\":
            escaped.append("\\\\")
        elif char == "\n":
            escaped.append("\\n")
        elif char == "\t":
            escaped.append("\\t")
        elif char == "\r":
            escaped.append("\\r")
        elif _is_unsafe(char) or char in "\u200c\u200d" or (char != " " and unicodedata.category(char) == "Zs"):
            escaped.append(_escaped(char))
        else:
            escaped.append(char)
    return "".join(escaped)


def console(*, stderr: bool = False) -> "Console":
    """Return a console for rich output; it has no colours where nobody sees them or ``NO_COLOR`` is set."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width; lines written into one must be neither cut nor folded.
    return Console(file=stream, highlight=False, emoji=False, width=None if stream.isatty() else _NO_WIDTH)


def say(text: str = "") -> None:
    """Print a line for people, made safe."""
    print(shown(text))


def tell(text: str) -> None:
    """Print a line on the error stream, made safe."""
    print(shown(text), file=sys.stderr)


def show_error(error: "IskraError") -> None:
    """Print an error with its mend."""
    tell(f"Error: {error.message}")
    if error.mend:
        tell(f"Mend:  {error.mend}")


def show_json(document: object) -> None:
    """Print a document as JSON."""
    import orjson

    sys.stdout.write(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    out = console()
    with out.capture() as drawn:
        out.print(table)
    # The box is padded to its width, which only makes lines wrap that have been copied.
    lines = [line.removeprefix(" ").rstrip() for line in drawn.get().splitlines()]
    print("\n".join(line for line in lines if line))
