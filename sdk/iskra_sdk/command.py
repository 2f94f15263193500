"""Commands that plugins add to the ``iskra`` program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand ``iskra <name> …``, run in the caller's terminal, not in the server.

    Attributes:
        name: ``[a-z][a-z0-9-]*``; the kernel's own commands cannot be replaced.
        help: One line.
        run: Gets the arguments after the name, returns the exit status.
    """

    name: str
    help: str
    run: Callable[[Sequence[str]], int]
