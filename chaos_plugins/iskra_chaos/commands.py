"""``iskra chaos``: run experiments against a server and read their reports."""

from collections.abc import Sequence


def chaos(arguments: Sequence[str]) -> int:
    """Run a subcommand and return the exit status."""
    from iskra_chaos.experiments.program import main

    return main(arguments)
