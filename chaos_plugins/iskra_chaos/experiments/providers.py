"""Runs what probes and actions stand for: a function, a request or a program."""

import asyncio
import functools
import importlib
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.allow_list import AllowList
from iskra_chaos.experiments.files.document import Activity, HttpProvider, ProcessProvider, PythonProvider
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.processes import run_program
from iskra_chaos.experiments.run_context import RunContext

DEFAULT_TIMEOUT = 300.0
"""Seconds for an activity that names none."""

MAX_BODY = 4_194_304
"""Bytes of an answer that a probe sees."""

_GIVEN = ("value", "secrets", "configuration", "run_context")  # parameters that are not the file's to give
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Providers:
    """Runs activities.

    Args:
        allow: Asked before each one.
        variables: Fill the names in their arguments.
        context: What our own probes look at; functions ask for it with a parameter ``run_context``.
        transport: Another way to send requests, for tests.
    """

    def __init__(
        self,
        allow: AllowList,
        variables: Variables,
        context: RunContext,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._allow = allow
        self._variables = variables
        self._context = context
        self._transport = transport

    def use(self, variables: Variables) -> None:
        """Fill names from here on with other variables."""
        self._variables = variables

    async def run(self, activity: Activity, value: object = None, *, judges: bool = False) -> Any:
        """Run an activity and return its output.

        Args:
            activity: What to run.
            value: With ``judges``, what the function gets as ``value``: the output it has to judge.
            judges: Whether the activity is the tolerance of another.

        Raises:
            ActivityError: It failed, took too long, or is not allowed.
        """
        self._allow.check_activity(activity, self._variables)
        provider = activity.provider
        timeout = self._timeout(provider.timeout)
        if isinstance(provider, ProcessProvider):
            return await run_program(
                str(self._variables.fill(provider.path)), self._variables.fill(provider.arguments), timeout
            )
        try:
            async with asyncio.timeout(timeout):
                if isinstance(provider, PythonProvider):
                    return await self._call(provider, {"value": value} if judges else {})
                return await self._request(provider)
        except TimeoutError as exc:
            raise ActivityError(f"{activity.name!r} took longer than {timeout:g} s.") from exc

    def _timeout(self, given: object) -> float:
        filled = self._variables.fill(given)
        if isinstance(filled, list):
            # Seconds to connect and seconds to read; together they bound the whole.
            return sum(as_seconds(part) for part in filled)
        return as_seconds(filled) if filled is not None else DEFAULT_TIMEOUT

    async def _call(self, provider: PythonProvider, extra: Mapping[str, object]) -> Any:
        function = find_function(provider.module, provider.func)
        filled = self._variables.fill(provider.arguments or {})
        if not isinstance(filled, Mapping):
            raise ActivityError(f"The arguments of {provider.func} are no mapping.")
        arguments = {**filled, **extra}
        parameters = _parameters(function)
        if "secrets" in parameters and provider.secrets is not None:
            arguments["secrets"] = self._variables.secrets_of(provider.secrets)
        if "configuration" in parameters:
            arguments["configuration"] = dict(self._variables.configuration)
        if "run_context" in parameters:
            arguments["run_context"] = self._context
        try:
            if inspect.iscoroutinefunction(function):
                return await function(**arguments)
            result = await in_thread(functools.partial(function, **arguments))
            return await result if inspect.isawaitable(result) else result
        except (ActivityError, asyncio.CancelledError):
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            raise ActivityError(f"{provider.func} raised {type(exc).__name__}: {exc}") from exc

    async def _request(self, provider: HttpProvider) -> dict[str, Any]:
        headers = {str(name): str(value) for name, value in self._variables.fill(provider.headers or {}).items()}
        content = _content(provider.method.upper(), headers, self._variables.fill(provider.arguments))
        url = str(self._variables.fill(provider.url))

        async def check(request: httpx.Request) -> None:
            self._allow.check_address(request.url)

        try:
            async with (
                httpx.AsyncClient(
                    verify=provider.verify_tls,
                    follow_redirects=True,
                    event_hooks={"request": [check]},
                    timeout=None,  # noqa: S113 - run() bounds the whole call
                    transport=self._transport,
                    trust_env=False,
                ) as client,
                client.stream(provider.method.upper(), url, headers=headers, **content) as response,
            ):
                return {
                    "status": response.status_code,
                    "headers": {name.decode("latin-1"): text.decode("latin-1") for name, text in response.headers.raw},
                    "body": _body(response, await _read(response)),
                }
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            # The text of an error may hold the address, and the address a secret; the journal hides secrets.
            raise ActivityError(f"The request failed: {type(exc).__name__}: {exc}") from exc


def as_seconds(value: object) -> float:
    """Return a duration that a file or a variable gave.

    Raises:
        ActivityError: It is no number of seconds.
    """
    try:
        seconds = float(str(value))
    except ValueError as exc:
        raise ActivityError(f"{value!r} is no number of seconds.") from exc
    if not 0.0 <= seconds <= 86_400.0:
        raise ActivityError(f"{value!r} seconds is out of range.")
    return seconds


def find_function(module: str, name: str) -> Callable[..., Any]:
    """Import a module and return one of the functions it offers.

    Raises:
        ActivityError: There is no such function, or it is not part of what the module exports.
    """
    try:
        found = importlib.import_module(module)
    except ImportError as exc:
        raise ActivityError(f"The module {module!r} cannot be imported: {exc}.") from exc
    exported = getattr(found, "__all__", None)
    is_offered = name in exported if exported is not None else not name.startswith("_")
    function = getattr(found, name, None)
    if not is_offered or not callable(function):
        raise ActivityError(f"The module {module!r} offers no function {name!r}.")
    return function  # type: ignore[no-any-return]  # getattr of a module


def check_call(provider: PythonProvider) -> str:
    """Return what is wrong with a call that can be told before it is made: no such function, wrong arguments."""
    try:
        function = find_function(provider.module, provider.func)
    except ActivityError as exc:
        return exc.message
    parameters, given = _parameters(function), provider.arguments
    if not parameters or not isinstance(given or {}, Mapping):
        return ""  # it cannot be told before its variables have values
    names = {*(given or {}), *(name for name in _GIVEN if name in parameters)}
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    if not takes_all and (unknown := sorted(names - parameters.keys())):
        return f"{provider.func} has no parameter {unknown[0]!r}; it has {', '.join(sorted(parameters))}."
    missing = [
        name
        for name, each in parameters.items()
        if each.default is inspect.Parameter.empty and each.kind in _NAMED and name not in names
    ]
    return f"{provider.func} needs {missing[0]!r}." if missing else ""


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}  # some functions that are written in C do not tell


async def in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread that does not keep the process alive: one that hangs is left behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as exc:
            # A future refuses StopIteration, since it would end a generator.
            error = RuntimeError(repr(exc)) if isinstance(exc, StopIteration) else exc
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the loop has ended; nobody waits any more

    threading.Thread(target=work, name="iskra-chaos-activity", daemon=True).start()
    return await done


def _content(method: str, headers: Mapping[str, str], arguments: Any) -> dict[str, Any]:
    if arguments is None or arguments == {}:
        return {}
    if method in ("GET", "HEAD", "DELETE", "OPTIONS") and isinstance(arguments, Mapping):
        return {"params": dict(arguments)}
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if kind.lower().startswith("application/json") and not isinstance(arguments, str):
        return {"content": json.dumps(arguments)}
    return {"data": dict(arguments)} if isinstance(arguments, Mapping) else {"content": str(arguments)}


async def _read(response: httpx.Response) -> bytes:
    kept = bytearray()
    async for piece in response.aiter_bytes():
        kept += piece
        if len(kept) > MAX_BODY:
            raise ActivityError(f"The answer is larger than {MAX_BODY:,} bytes.")
    return bytes(kept)


def _body(response: httpx.Response, content: bytes) -> Any:
    text = content.decode(response.charset_encoding or "utf-8", errors="replace")
    if not response.headers.get("content-type", "").lower().startswith("application/json"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
