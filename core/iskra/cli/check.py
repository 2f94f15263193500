"""``iskra check``: says what would stop a plugin from loading, before a server does."""

from pathlib import Path
from typing import Annotated

import typer

from iskra.cli.terminal import DataDirOption, JsonOption, say, show_json


def check(
    target: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A plugin's file or directory, or its name.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what would stop a plugin from loading; needs no server and leaves a running one alone."""
    from iskra.cli.plugin_check import check_source, find_source
    from iskra.settings import load_settings

    settings = load_settings(overrides={"data_dir": data_dir})
    source = find_source(target, settings)
    report = check_source(source, settings)
    if as_json:
        show_json(report.document)
    else:
        for problem in report.problems:
            say(f"problem: {problem.text}")
            if problem.mend:
                say(f"   mend: {problem.mend}")
        for hint in report.hints:
            say(f"hint: {hint}")
        if report.problems:
            count = len(report.problems)
            say(f"{source.name}: {count} {'problem' if count == 1 else 'problems'}.")
        else:
            offers = ", ".join(f"{kind}: {', '.join(names)}" for kind, names in report.offers.items())
            say(f"{source.name}: fine. It offers {offers or 'nothing'}.")
            folder = settings.plugin_folder
            if Path(target).exists() and folder not in Path(target).resolve().parents and source.kind != "entry_point":
                say(f"A server loads it from its plugin folder, {folder}: `iskra plugins install {target}`.")
    raise typer.Exit(1 if report.problems else 0)
