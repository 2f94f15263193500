"""``iskra chaos``: run experiments against a server, stop everything, and read reports."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "shipped"
"""The experiments that come with the server."""

_RESTS = 5
"""Exit status of a scheduled run that was put off."""
_STATUS: Mapping[str, int] = {"held": 0, "deviated": 1, "aborted": 3, "failed": 3, "invalid": 4}
"""Exit status by verdict; 2 is a wrong command line or a file that cannot be run."""


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand.

    Returns:
        0 done, or the hypothesis held; 1 the system deviated; 2 a mistake in the command or the file; 3 the run was
        aborted or failed; 4 the run says nothing, because the fault was never observed; 5
        a scheduled run was put off.
    """
    from iskra_sdk.errors import IskraError

    parsed = _parser().parse_args(list(arguments))
    run: Callable[[argparse.Namespace], int] = parsed.run_command
    try:
        return run(parsed)
    except IskraError as exc:
        print(exc, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("iskra chaos", description="Experiments on a running server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="Run an experiment, a file or the name of one that comes with the server.")
    run.add_argument("experiment", help="Chaos Toolkit file (JSON or YAML), or a name that `list` shows")
    run.add_argument("--journal", type=Path, help="where the journal is written; by default beside you")
    run.add_argument("--report", type=Path, help="write an HTML report here when it is over")
    run.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="value of the configuration")
    run.add_argument("--allow", action="append", default=[], metavar="MODULE", help="a Python module it may call")
    run.add_argument("--allow-host", action="append", default=[], metavar="HOST", help="a host it may send requests to")
    run.add_argument("--allow-processes", action="store_true", help="let it start programs on this machine")
    run.add_argument("--scheduled", action="store_true", help="do not run while the server rests from the last one")
    run.set_defaults(run_command=_run)

    stop = commands.add_parser("stop", help="End all operations and faults of the server now, and lock it.")
    stop.add_argument("--reason", default="stopped from the terminal")
    stop.set_defaults(run_command=_stop)
    release = commands.add_parser("release", help="Let operations and faults start again after a stop.")
    release.set_defaults(run_command=_release)

    status = commands.add_parser("status", help="Show whether experiments may start, and what is at work.")
    status.set_defaults(run_command=_status)
    unlock = commands.add_parser("unlock", help="Let experiments start again after a rollback that failed.")
    unlock.add_argument("--reason", required=True, help="what was found and mended; kept in the audit log")
    unlock.set_defaults(run_command=_unlock)

    report = commands.add_parser("report", help="Write the HTML report of a journal.")
    report.add_argument("journal", type=Path)
    report.add_argument("--output", type=Path, help="by default beside the journal")
    report.add_argument("--png", action="store_true", help="write the plots as files too")
    report.set_defaults(run_command=_report)

    listing = commands.add_parser("list", help="List the experiments that come with the server.")
    listing.set_defaults(run_command=_list)
    return parser


def _run(parsed: argparse.Namespace) -> int:
    from iskra_chaos.experiments.files.allow_list import AllowList
    from iskra_chaos.experiments.files.document import Experiment
    from iskra_chaos.experiments.runner import Runner
    from iskra_sdk.errors import BadInputError

    path = _file(parsed.experiment)
    if parsed.scheduled and (rests_until := _rests_until()):
        print(f"Not run: the server rests until {rests_until}. Without `--scheduled` it runs at any time.")
        return _RESTS
    given: dict[str, Any] = {}
    for pair in parsed.var:
        name, separator, value = pair.partition("=")
        if not separator:
            raise BadInputError(f"{pair!r} is no NAME=VALUE.")
        given[name] = _value(value)
    journal_path = parsed.journal or Path(f"{path.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.journal.json")
    runner = Runner(
        allow=AllowList(parsed.allow, parsed.allow_host, processes=parsed.allow_processes),
        journal_path=journal_path,
        given=given,
    )
    experiment = Experiment.from_file(path)
    try:
        journal = asyncio.run(runner.run(experiment))
    except OSError as exc:
        raise BadInputError(
            f"The journal {journal_path} cannot be written, so nothing was run: {exc.strerror}.",
            mend="Name another place with `--journal`.",
        ) from exc
    print(f"{journal.verdict}: {journal.document.get('experiment', {}).get('title', path.stem)}")
    for reason in journal.reasons:
        print(f"  {reason}")
    print(f"The journal is in {journal_path}.")
    if journal.own["critical"]:
        locked = "The server takes no experiments until an admin runs `iskra chaos unlock --reason TEXT`."
        print("CRITICAL: something could not be taken back; the journal says what.", file=sys.stderr)
        print(locked if journal.own["experiments_locked"] else "The server could not be told.", file=sys.stderr)
    _tell_server(journal.document.get("experiment", {}).get("title", path.stem), journal)
    if parsed.report is not None:
        _write_report(journal_path, parsed.report, png=False)  # one that cannot be written changes no verdict
    return _STATUS.get(journal.verdict, 3)


def _rests_until() -> str:
    """Return until when the server rests, or that it is stopped; empty where a scheduled experiment may run."""
    from iskra_sdk.client import IskraClient

    with IskraClient() as client:
        rest: Any = client.request("GET", "/api/v1/monitor/rest")
    return "" if rest["may_run"] else str(rest["rests_until"] or "the emergency stop is released")


def _tell_server(title: str, journal: Any) -> None:
    """Let the server count the verdict; a server that is gone by then misses it."""
    from iskra_sdk.client import IskraClient
    from iskra_sdk.errors import IskraError

    body: dict[str, Any] = {"title": str(title)[:300], "verdict": journal.verdict, "level": journal.own["level"]}
    seconds = journal.own.get("recovery_seconds")
    if isinstance(seconds, int | float):
        body["recovery_seconds"] = float(seconds)
    with suppress(IskraError, OSError), IskraClient() as client:
        client.request("POST", "/api/v1/monitor/experiments", body)


def _stop(parsed: argparse.Namespace) -> int:
    from iskra_sdk.client import IskraClient

    body = {"stop_scope": "all", "emergency_reason": parsed.reason, "stabilization_mode": "immediate"}
    with IskraClient() as client:
        done: Any = client.request("POST", "/api/v1/control/emergency_stop", body)
    print(f"Stopped {len(done['stopped_processes'])} operations and {len(done['stopped_faults'])} faults.")
    print("Nothing starts until `iskra chaos release`.")
    return 0


def _release(parsed: argparse.Namespace) -> int:
    from iskra_sdk.client import IskraClient

    with IskraClient() as client:
        client.request("POST", "/api/v1/control/release")
    print("Operations and faults may start again.")
    return 0


def _status(parsed: argparse.Namespace) -> int:
    from iskra_chaos.experiments.rollback_alarm import EXPERIMENTS
    from iskra_sdk.client import IskraClient

    with IskraClient() as client:
        status: Any = client.request("GET", EXPERIMENTS)
    print(f"Faults are switched {'on' if status['faults_enabled'] else 'off'}; {status['active_faults']} are at work.")
    if status["is_stopped"]:
        print("Everything is stopped: nothing starts until `iskra chaos release`.")
    for failed in status["failed"]:
        print(f"Locked: the rollback of {failed['title']!r} failed ({failed['at'] or 'at an unknown time'}).")
        for reason in failed["reasons"]:
            print(f"  {reason}")
    print(status["mend"] or "Experiments are not locked.")
    return 1 if status["is_locked"] or status["is_stopped"] else 0


def _unlock(parsed: argparse.Namespace) -> int:
    from iskra_chaos.experiments.rollback_alarm import EXPERIMENTS
    from iskra_sdk.client import IskraClient

    with IskraClient() as client:
        client.request("POST", f"{EXPERIMENTS}/unlock", {"reason": parsed.reason})
    print("Experiments may start again.")
    return 0


def _report(parsed: argparse.Namespace) -> int:
    return _write_report(parsed.journal, parsed.output or parsed.journal.with_suffix(".html"), png=parsed.png)


def _write_report(journal: Path, output: Path, *, png: bool) -> int:
    from iskra_chaos.experiments.journal import Journal
    from iskra_chaos.experiments.reports.report import write_report

    try:
        written = write_report(Journal.read(journal).document, output, png=png)
    except ImportError:
        print("The plots need matplotlib: pip install 'iskra[chaos]'", file=sys.stderr)
        return 2
    except OSError as exc:
        print(f"The report {output} cannot be written: {exc.strerror}.", file=sys.stderr)
        return 2
    for path in written:
        print(f"Written: {path}")
    return 0


def _list(parsed: argparse.Namespace) -> int:
    from iskra_chaos.experiments.files.document import parse

    for path in sorted(SHIPPED.glob("*.yaml"), key=lambda each: (len(each.stem.split("-")[0]), each.stem)):
        document: Any = parse(path.read_bytes(), is_yaml=True)  # titles alone: one may need what is not installed
        print(f"{path.stem:32} {document['title']}")
    return 0


def _file(name: str) -> Path:
    from iskra_sdk.errors import NotFoundError

    path = Path(name)
    if path.is_file():
        return path
    shipped = [each for each in SHIPPED.glob("*.yaml") if name in (each.stem, each.stem.split("-")[0])]
    if len(shipped) == 1:
        return shipped[0]
    raise NotFoundError(
        f"There is no experiment file {name!r}.", mend="`iskra chaos list` shows those that come along."
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
