"""Runs an experiment against a server and returns its journal."""

import asyncio
import contextlib
import functools
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from iskra_chaos.experiments.activity_runs import ActivityRuns
from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.experiment_run import ExperimentRun
from iskra_chaos.experiments.fault_leases import HEARTBEAT, FaultLeases
from iskra_chaos.experiments.files.allow_list import AllowList
from iskra_chaos.experiments.files.document import Experiment, PythonProvider
from iskra_chaos.experiments.files.extension import DeclaredFault
from iskra_chaos.experiments.files.variables import Variables, load_configuration, load_secrets
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.providers import Providers, check_call
from iskra_chaos.experiments.redaction import RedactingFilter, Redactor
from iskra_chaos.experiments.rollback_alarm import require_unlocked
from iskra_chaos.experiments.run_context import RunContext
from iskra_chaos.experiments.run_state import MakeLoad, RunState
from iskra_chaos.experiments.verdict import Findings
from iskra_sdk.client import AsyncIskraClient
from iskra_sdk.client.connection import Connection

_TIMEOUT = 10.0  # seconds of a request of our own; answers of models are waited for by the load's timeout


class Runner:
    """Runs experiments against one server.

    Args:
        url: Address of the server; see ``AsyncIskraClient``.
        token: The token; likewise.
        token_file: Where the token is read; likewise.
        allow: What experiments may do. Requests to the server itself are always allowed.
        journal_path: Where the journal is written while an experiment runs; ``None`` writes none.
        given: Values of the configuration that win over those of the file.
        environment: Where variables of the type ``env`` are looked up; the process's own by default.
        heartbeat: Seconds between two heartbeats of a fault.
        handle_signals: Whether SIGINT and SIGTERM end the experiment in order. Works in the main thread.
        clearance: Asked for the token of a fault that the file gives none.
        transport: Another way to reach servers, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: Path | None = None,
        allow: AllowList | None = None,
        journal_path: Path | None = None,
        given: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        heartbeat: float = HEARTBEAT,
        handle_signals: bool = True,
        clearance: Callable[[DeclaredFault], Awaitable[str]] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, token, token_file, _TIMEOUT)
        self._allow = (allow or AllowList()).with_host_of(self._connection.url)
        self._journal_path = journal_path
        self._given = given
        self._environment = os.environ if environment is None else environment
        self._heartbeat = heartbeat
        self._handle_signals = handle_signals
        self._clearance = clearance
        self._transport = transport

    def load(self, experiment: Experiment) -> Variables:
        """Look up an experiment's variables and check that it may and can run; nothing of it runs.

        Modules that it may call are imported.

        Raises:
            ExperimentError: A variable is missing, or there is no such function. A mistake in a rollback must not
                come to light when it is needed.
            ActivityRefusedError: The experiment asks for more than is allowed.
        """
        variables = Variables(
            load_configuration(experiment.configuration, self._environment, self._given),
            load_secrets(experiment.secrets, self._environment),
        )
        self._allow.check(experiment, variables)
        for activity in experiment.activities():
            if isinstance(activity.provider, PythonProvider) and (wrong := check_call(activity.provider)):
                raise ExperimentError(f"The activity {activity.name!r} cannot be run: {wrong}")
        return variables

    async def run(self, experiment: Experiment) -> Journal:
        """Run an experiment to its end and return the journal; its verdict says how it went.

        Whatever ends the run, everything that was done is taken back first: faults, actions with an undo, then the
        file's rollbacks.

        Raises:
            ExperimentError: The experiment cannot be run as it is written. Nothing of it has run.
            ActivityRefusedError: It asks for more than is allowed. Nothing of it has run.
            ConflictError: The server's experiments are locked after a failed rollback. Nothing of it has run.
            OSError: The journal cannot be written. Nothing of it has run.
            asyncio.CancelledError: The caller was cancelled. Everything has been taken back.
        """
        if self._given:
            experiment = experiment.with_values(self._given)
        variables = self.load(experiment)
        async with AsyncIskraClient(
            self._connection.url, self._connection.token, timeout=_TIMEOUT, transport=self._transport
        ) as client:
            if not experiment.dry:
                await require_unlocked(client)
            redactor = Redactor(
                [self._connection.token, *(value for group in variables.secrets.values() for value in _leaves(group))]
            )
            journal = Journal.begin(experiment, redactor, self._journal_path)
            journal.own["controls_not_run"] = _controls(experiment)
            context = RunContext(client, headers=self._connection.headers)
            leases = FaultLeases(client, journal.own["id"], heartbeat=self._heartbeat)
            providers = Providers(self._allow, variables, context, self._transport)
            is_dry = bool(experiment.dry)
            state = RunState(
                experiment,
                variables,
                journal,
                context,
                leases,
                ActivityRuns(providers, variables, is_dry=is_dry),
                self._load_maker(experiment, client),
                self._clearance,
                Findings(is_dry=is_dry),
            )
            leases.on_lost = state.lost
            with RedactingFilter(redactor), self._signals(state):
                await journal.save()
                await ExperimentRun(state).run()
        return journal

    def _load_maker(self, experiment: Experiment, client: AsyncIskraClient) -> MakeLoad | None:
        own = experiment.iskra
        if own.load is None:
            return None
        load, arms = own.load, own.arms

        def make(is_within: Callable[[object, object], Awaitable[bool]], variables: Variables) -> LoadRun:
            headers, transport = self._connection.headers, self._transport
            return LoadRun(load, arms, client, variables, is_within, headers=headers, transport=transport)

        return make

    @contextlib.contextmanager
    def _signals(self, state: RunState) -> Iterator[None]:
        """End the run in order on the first SIGINT or SIGTERM; later ones change nothing, undoing is bounded."""
        if not self._handle_signals or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            reason = f"The runner received {number.name}."
            loop.add_signal_handler(number, functools.partial(state.end, "interrupted", reason))
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


def _leaves(value: object) -> Iterator[object]:
    """Yield the values of a secret, which may be a whole structure."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _controls(experiment: Experiment) -> list[dict[str, str]]:
    """Return the controls of the file: they are code that runs around activities, and none is run here."""
    hypothesis = experiment.hypothesis
    levels = [("experiment", experiment.controls), ("hypothesis", hypothesis.controls if hypothesis else [])]
    levels += [(f"activity {activity.name}", activity.controls) for activity in experiment.activities()]
    return [
        {"name": str(control.get("name", "?")), "level": level, "reason": "controls are not run"}
        for level, controls in levels
        for control in controls
    ]
