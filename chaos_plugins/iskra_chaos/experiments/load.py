"""The load block: closed-loop clients of a bounded number that work for a bounded time."""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic, perf_counter
from typing import Any

import httpx

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.extension import Arm, Arms, Load
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.samples import ArmSamples, compare
from iskra_sdk.client import AsyncIskraClient
from iskra_sdk.errors import IskraError
from iskra_sdk.ids import new_id

IsWithin = Callable[[object, object], Awaitable[bool]]


class LoadRun:
    """Sends the requests of a load block and keeps what came back.

    Args:
        load: What to send.
        arms: How requests are split; without arms every one belongs to the experiment arm.
        client: Talks to the server under test.
        variables: Fill the names in the request.
        is_within: Judges an answer against ``load.expect``.
        headers: Of every request, e.g. the token.
        transport: Another way to send requests, for tests.

    Attributes:
        arms: Samples by arm.
        acknowledged: ``${message}`` of every request that succeeded, by session.
        is_finished: Whether all clients have ended.
    """

    def __init__(
        self,
        load: Load,
        arms: Arms | None,
        client: AsyncIskraClient,
        variables: Variables,
        is_within: IsWithin,
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._load = load
        self._split = arms
        self._client = client
        self._variables = variables
        self._is_within = is_within
        self._headers = dict(headers or {})
        self._transport = transport
        self._sent = 0
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._run_id = new_id("load")
        self._began: float | None = None
        self.arms: dict[Arm, ArmSamples] = {"control": ArmSamples(), "experiment": ArmSamples()}
        self.acknowledged: dict[str, list[str]] = {}
        self.sessions: list[str] = []
        self._experiment_sessions: frozenset[str] = frozenset()

    @property
    def is_finished(self) -> bool:
        """Whether all clients have ended."""
        return self._finished.is_set()

    @property
    def age(self) -> float:
        """Seconds since the first request could be sent; 0 before."""
        return 0.0 if self._began is None else monotonic() - self._began

    @property
    def spec(self) -> Load:
        """What is sent."""
        return self._load

    @property
    def experiment_sessions(self) -> Sequence[str]:
        """Sessions of the experiment arm, when whole sessions are split."""
        return sorted(self._experiment_sessions)

    def name_of(self, request: int) -> str:
        """Return the ``${message}`` of a request."""
        return f"{self._run_id}-m{request}"

    def is_name(self, word: str) -> bool:
        """Return whether a word is the ``${message}`` of a request of this load."""
        return word.startswith(f"{self._run_id}-m")

    async def prepare(self) -> None:
        """Make or name the sessions and split them.

        Raises:
            ActivityError: The server did not make them.
        """
        count = max(self._load.sessions, self._load.clients)
        if self._load.create_sessions or self._load.kind == "chat":
            try:
                for _ in range(count):
                    self.sessions.append(await self._created())
            except IskraError as exc:
                raise ActivityError(f"The sessions of the load could not be made: {exc.message}") from exc
        else:
            self.sessions = [f"{self._run_id}-{number}" for number in range(count)]
        if self._split is not None and self._split.by == "session":
            self._experiment_sessions = frozenset(split_sessions(self.sessions, self._split.share, self._split.seed))

    async def _created(self) -> str:
        session = await self._client.sessions.create("chaos experiment", metadata=self._load.session_metadata or None)
        return session.id

    def stop(self) -> None:
        """Let every client finish the request it is waiting for, and end."""
        self._stopping.set()

    async def wait(self) -> None:
        """Wait until all clients have ended."""
        await self._finished.wait()

    async def run(self, on_sample: Callable[[Arm, bool], None] | None = None) -> None:
        """Run all clients.

        Args:
            on_sample: Told the arm of each finished request and whether it failed.
        """
        self._began = monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                timer = group.create_task(self._stop_in_time())
                clients = [group.create_task(self._work(number, on_sample)) for number in range(self._load.clients)]
                await asyncio.wait(clients)
                timer.cancel()
        finally:
            self._finished.set()

    async def _stop_in_time(self) -> None:
        if self._load.duration is not None:
            await asyncio.sleep(self._load.duration)
            self.stop()

    async def _pause(self, seconds: float) -> None:
        if seconds > 0.0 and not self._stopping.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
            except TimeoutError:
                return

    async def _work(self, number: int, on_sample: Callable[[Arm, bool], None] | None) -> None:
        await self._pause(self._load.ramp_up * number / self._load.clients)
        own = self.sessions[number :: self._load.clients]
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        async with httpx.AsyncClient(
            base_url=self._client.url,
            headers=self._headers,
            timeout=self._load.timeout,
            transport=self._transport,
            limits=limits,
            trust_env=False,
        ) as http:
            turn = 0
            while not self._stopping.is_set():
                if self._load.requests is not None and self._sent >= self._load.requests:
                    return
                request, self._sent = self._sent, self._sent + 1
                session = own[turn % len(own)]
                turn += 1
                arm = self._arm(session, request)
                await self._one(http, number, request, session, arm, on_sample)
                await self._pause(self._load.think_time)

    def _arm(self, session: str, request: int) -> Arm:
        if self._split is None:
            return "experiment"
        if self._split.by == "session":
            return "experiment" if session in self._experiment_sessions else "control"
        share = self._split.share
        return "experiment" if math.floor((request + 1) * share) > math.floor(request * share) else "control"

    async def _one(
        self,
        http: httpx.AsyncClient,
        client: int,
        request: int,
        session: str,
        arm: Arm,
        on_sample: Callable[[Arm, bool], None] | None,
    ) -> None:
        message = self.name_of(request)
        names = {"session": session, "client": client, "request": request, "message": message}
        variables = Variables({**self._variables.configuration, **names}, self._variables.secrets)
        started = perf_counter()
        try:
            async with asyncio.timeout(self._load.timeout):
                if self._load.kind == "chat":
                    answer = await self._ask(variables, session, arm)
                else:
                    answer = await self._send(http, variables, arm)
            failure = await self._judge(answer, variables)
        except TimeoutError:
            failure = "timeout"
        except httpx.HTTPError as exc:
            failure = type(exc).__name__
        except IskraError as exc:
            failure = exc.code
        seconds = perf_counter() - started
        self.arms[arm].add(seconds, failure)
        if not failure:
            self.acknowledged.setdefault(session, []).append(message)
        if on_sample is not None:
            on_sample(arm, bool(failure))

    async def _ask(self, variables: Variables, session: str, arm: Arm) -> dict[str, Any]:
        model: str | None = variables.fill(self._load.model)
        split = self._split
        is_labelled = split is not None and split.by == "request" and arm == "experiment"
        options = {"labels": [split.label]} if split is not None and is_labelled else None
        text = await self._client.ask(str(variables.fill(self._load.text)), session, model, options=options)
        return {"status": 200, "headers": {}, "body": text}

    async def _send(self, http: httpx.AsyncClient, variables: Variables, arm: Arm) -> dict[str, Any]:
        load = self._load
        headers = {name: str(value) for name, value in variables.fill(load.headers).items()}
        if self._split is not None and arm == "experiment":
            headers[self._split.header] = self._split.label
        body = variables.fill(load.body)
        content = {"content": body} if isinstance(body, str) else {"json": body} if body is not None else {}
        response = await http.request(load.method, str(variables.fill(load.path)), headers=headers, **content)
        return {"status": response.status_code, "headers": dict(response.headers), "body": response.text}

    async def _judge(self, answer: Mapping[str, Any], variables: Variables) -> str:
        if self._load.expect is not None:
            is_expected = await self._is_within(variables.fill(self._load.expect), answer)
            return "" if is_expected else "unexpected answer"
        return "" if answer["status"] < 400 else f"status {answer['status']}"

    def summary(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        comparison = compare(self.arms)
        return {
            "clients": self._load.clients,
            "is_finished": self.is_finished,
            "arms": {name: samples.summary() for name, samples in self.arms.items() if samples.requests},
            "p99_ratio": None
            if comparison is None
            else {
                "low": comparison.ratio.low,
                "estimate": comparison.ratio.estimate,
                "high": comparison.ratio.high,
            },
        }


def split_sessions(sessions: Sequence[str], share: float, seed: int = 0) -> list[str]:
    """Return the sessions of the experiment arm: those with the smallest hashes, at least one and not all.

    A session stays in its arm for as long as the set is the same; with two sessions or more neither arm is empty.
    """
    ordered = sorted(sessions, key=lambda session: hashlib.sha256(f"{seed}:{session}".encode()).digest())
    count = round(share * len(ordered))
    return ordered[: min(max(count, 1), max(len(ordered) - 1, 1))]
