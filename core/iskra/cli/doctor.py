"""``iskra doctor``: looks at everything that commonly goes wrong."""

import typer

from iskra.cli.terminal import DataDirOption, JsonOption, UrlOption, console, say, show_json, shown


def doctor(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Check this machine, the data directory, the server and its plugins; every problem comes with a mend."""
    from iskra.cli.examination import examine

    findings = examine(url, data_dir)
    is_healthy = not any(finding.is_problem for finding in findings)
    if as_json:
        show_json([finding.document for finding in findings])
        raise typer.Exit(0 if is_healthy else 1)
    from rich.text import Text

    out = console()
    for finding in findings:
        mark = Text("problem ", style="bold red") if finding.is_problem else Text("ok      ", style="green")
        out.print(Text.assemble(mark, shown(f"{finding.subject}: {finding.text}")), soft_wrap=True)
        if finding.mend:
            out.print(Text(shown(f"        mend: {finding.mend}")), soft_wrap=True)
    count = sum(finding.is_problem for finding in findings)
    say("Everything is fine." if is_healthy else f"{count} {'problem' if count == 1 else 'problems'}.")
    raise typer.Exit(0 if is_healthy else 1)
