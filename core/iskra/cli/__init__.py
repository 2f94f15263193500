"""The ``iskra`` program."""

from iskra.cli.program import main

__all__ = ["main"]
