"""Tools: typed functions that agents may call."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, cast, overload

from pydantic import AfterValidator, BaseModel, RootModel, ValidationError
from pydantic_core import from_json, to_json

from iskra_sdk.errors import ToolArgumentsError
from iskra_sdk.ids import EffectId, SessionId, TurnId
from iskra_sdk.llm import ToolSpec
from iskra_sdk.message import ToolResult
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.tool_schema import arguments_model, description_of


class Risk(StrEnum):
    """What a tool may do to the world; the approval rules decide by it."""

    READ = "read"
    """Looks at things in reach of the server; no effect."""
    WRITE = "write"
    """Changes things that can be seen and mended."""
    EXECUTE = "execute"
    """Runs programs."""
    EXTERNAL = "external"
    """Reaches other systems or people; cannot be taken back."""


async def _ignore_progress(_text: str) -> None:
    """Drop progress where nobody listens."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a running tool call knows about itself. A tool asks for it by a parameter annotated ``ToolContext``.

    Attributes:
        principal: On whose behalf the call runs.
        effect_id: Stable through crashes: a service that takes an idempotency key should get this one.
        labels: Those of the request that began the turn; see :class:`~iskra_sdk.llm.Caller`.
        progress: Tells people who watch, e.g. ``await context.progress("3 of 10 files")``; the model never sees it.
    """

    principal: Principal = SYSTEM
    session_id: SessionId = SessionId("")
    turn_id: TurnId = TurnId("")
    tool_call_id: str = ""
    effect_id: EffectId = EffectId("")
    progress: Callable[[str], Awaitable[None]] = _ignore_progress
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("iskra.tool"))
    labels: frozenset[str] = frozenset()


ToolFunction = Callable[..., Any]
Keys = Sequence[str] | Callable[[Mapping[str, Any]], Iterable[str]]
"""Resource keys: templates over the arguments, or a function of them that has no effect."""
Inspection = Callable[[Mapping[str, Any]], "str | Awaitable[str]"]
"""Looks at validated arguments and returns a text; may be asynchronous; must have no effect."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that models may call. Make one with :func:`tool`.

    Attributes:
        name: Unique in the server: letters, digits, ``_`` and ``-``, at most 64.
        description: For the model: what it does and when to use it.
        parameters: JSON schema of its arguments, an object.
        risk: What it may do to the world.
        function: The function itself, ``async`` or not; a plain one runs in a worker thread.
        reads: Resource keys it reads, as templates over its arguments, e.g. ``file:{path}``, or a function that returns
            keys for arguments. A key ``file:docs`` covers ``file:docs/a.md``. Calls on different keys run side by
            side; without keys a ``read`` tool counts as reading everything, another one as changing everything.
        writes: Resource keys it changes.
        is_idempotent: Running it twice with the same effect id equals running it once; after a crash such a call
            (and every ``read`` call) is repeated without asking.
        timeout: Seconds one call may take.
        preview: Renders a call for the person who approves it, e.g. as a diff.
        fingerprint: Digest of the outside state an approval is bound to, e.g. of the file to be changed; if it
            differs when the call is about to run, the approval no longer counts.
        max_parallel: Calls of one turn that may run at the same time; ``None`` for no bound of its own.
    """

    name: str
    description: str
    parameters: Mapping[str, object]
    risk: Risk
    function: ToolFunction
    model: type[BaseModel]
    context_parameter: str | None = None
    reads: Keys = ()
    writes: Keys = ()
    is_idempotent: bool = False
    timeout: float = 60.0
    preview: Inspection | None = None
    fingerprint: Inspection | None = None
    max_parallel: int | None = None

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        return ToolSpec(self.name, self.description, self.parameters)

    @property
    def is_repeatable(self) -> bool:
        """Whether a call that was interrupted may simply run again."""
        return self.risk is Risk.READ or self.is_idempotent

    def validate(self, arguments: str | bytes | Mapping[str, object]) -> dict[str, Any]:
        """Return the arguments in their JSON form with defaults filled in, checked against the schema.

        Raises:
            ToolArgumentsError: They are no JSON object, or do not fit; the message says where.
        """
        if isinstance(arguments, str | bytes):
            try:
                arguments = from_json(arguments or "{}")
            except ValueError as exc:
                raise ToolArgumentsError(
                    f"The arguments of {self.name!r} are not valid JSON: {exc}.", mend="Send one JSON object."
                ) from exc
        try:
            return self.model.model_validate(arguments).model_dump(mode="json", by_alias=True)
        except ValidationError as exc:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in error['loc']) or 'arguments'}: {error['msg']}"
                for error in exc.errors(include_url=False, include_input=False)
            )
            raise ToolArgumentsError(
                f"The arguments of {self.name!r} do not fit its schema: {problems}.",
                facts={"tool": self.name},
            ) from exc

    async def run(self, arguments: Mapping[str, object], context: ToolContext | None = None) -> ToolResult:
        """Run the function on valid arguments and wrap what it returns.

        A function may return a :class:`ToolResult`, a ``str``, or anything JSON-able.
        What it raises passes through.
        """
        values = {
            name: getattr(model, name) for model in (self.model.model_validate(arguments),) for name in self._fields
        }
        if self.context_parameter is not None:
            values[self.context_parameter] = context or ToolContext()
        if inspect.iscoroutinefunction(self.function):
            value = await self.function(**values)
        else:
            value = await asyncio.to_thread(self.function, **values)
        return as_result(value)

    def resource_keys(self, arguments: Mapping[str, object]) -> tuple[frozenset[str], frozenset[str]]:
        """Return the keys a call reads and writes, e.g. ``{"file:docs/a.md"}``."""
        return (
            _filled_in(self.reads, arguments),
            _filled_in(self.writes, arguments),
        )

    @property
    def _fields(self) -> Sequence[str]:
        return tuple(self.model.model_fields)


def _filled_in(keys: Keys, arguments: Mapping[str, object]) -> frozenset[str]:
    if callable(keys):
        return frozenset(keys(arguments))
    return frozenset(template.format_map(arguments) for template in keys)


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """A validated and approved call on its way to the tool: the payload of the point ``tool.call``."""

    tool: Tool
    arguments: Mapping[str, object]
    context: ToolContext


def as_result(value: object) -> ToolResult:
    """Wrap what a tool function returned: text stays text, other values become JSON text and typed data."""
    if isinstance(value, ToolResult):
        return value
    if value is None:
        return ToolResult("done")
    if isinstance(value, str):
        return ToolResult(value)
    encoded = to_json(value, fallback=str)
    return ToolResult(encoded.decode(), data=from_json(encoded))


@overload
def tool(function: ToolFunction, /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    risk: Risk | str = Risk.EXTERNAL,
    reads: Keys = (),
    writes: Keys = (),
    is_idempotent: bool = False,
    timeout: float = 60.0,
    preview: Inspection | None = None,
    fingerprint: Inspection | None = None,
    max_parallel: int | None = None,
) -> Callable[[ToolFunction], Tool]: ...
def tool(function: ToolFunction | None = None, /, **options: Any) -> Tool | Callable[[ToolFunction], Tool]:
    """Turn a typed function into a :class:`Tool`.

    The JSON schema comes from the type hints; descriptions from the docstring, whose section ``Args`` describes
    the parameters. Without a risk the tool counts as ``external`` and every call asks.

    Example::

        @tool(risk="read")
        async def add(a: int, b: int) -> int:
            \"\"\"Add two numbers.\"\"\"
            return a + b

    Args:
        function: The function, where the decorator stands without arguments.
        **options: Fields of :class:`Tool`: ``name``, ``description``, ``risk``, ``reads``, ``writes``,
            ``is_idempotent``, ``timeout``, ``preview``, ``fingerprint``, ``max_parallel``.

    Raises:
        TypeError: A parameter has no type hint, or one without a JSON form.
    """
    if function is not None:
        return _make_tool(function)
    return lambda decorated: _make_tool(decorated, **options)


def tool_from_schema(
    function: Callable[[dict[str, Any], ToolContext], Awaitable[Any]],
    *,
    name: str,
    description: str,
    parameters: Mapping[str, object],
    check: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> Tool:
    """Make a tool whose JSON schema comes from elsewhere, e.g. from another server.

    Args:
        function: Gets the arguments as they are, and the context.
        name: See :class:`Tool`.
        description: See :class:`Tool`.
        parameters: The schema; models see it as it is.
        check: Raises ``ValueError`` for arguments that do not fit the schema.
        **options: Further fields of :class:`Tool`; without a risk it counts as ``external``.
    """

    def checked(arguments: dict[str, Any]) -> dict[str, Any]:
        if check is not None:
            check(arguments)
        return arguments

    class Given(RootModel[Annotated[dict[str, Any], AfterValidator(checked)]]):
        """Arguments as they were sent."""

    async def call(root: dict[str, Any], context: ToolContext) -> Any:
        return await function(root, context)

    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        risk=Risk(options.pop("risk", Risk.EXTERNAL)),
        function=call,
        model=Given,
        context_parameter="context",
        **options,
    )


def _make_tool(function: ToolFunction, **options: Any) -> Tool:
    name = options.pop("name", None) or function.__name__
    model, context_parameter = arguments_model(function, name, context_type=ToolContext)
    schema = cast("dict[str, object]", model.model_json_schema())
    schema.pop("title", None)
    return Tool(
        name=name,
        description=options.pop("description", None) or description_of(function),
        parameters=schema,
        risk=Risk(options.pop("risk", Risk.EXTERNAL)),
        function=function,
        model=model,
        context_parameter=context_parameter,
        **options,
    )
