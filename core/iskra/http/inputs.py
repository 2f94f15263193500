"""What clients may send to the native API: its own models, apart from what is stored."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from iskra.http.request_labels import Labels
from iskra_sdk.errors import BadInputError
from iskra_sdk.message import clean_text

METADATA_BYTES = 16_384
ARGUMENTS_BYTES = 1_048_576
"""Of a tool call that a person edits, e.g. the whole text of a file."""

Text = Annotated[str, AfterValidator(clean_text)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]


def _bounded(value: dict[str, Any], limit: int = METADATA_BYTES) -> dict[str, Any]:
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError) as exc:
        raise ValueError("it has something that JSON cannot hold") from exc
    if len(encoded) > limit:
        raise ValueError(f"it may have {limit} bytes at most")
    cleaned: dict[str, Any] = orjson.loads(encoded)
    return cast("dict[str, Any]", _cleaned(cleaned)) if b"\\u0000" in encoded else cleaned


def _cleaned(value: object) -> object:
    """Clean all text in a JSON value; a backslash followed by ``u0000`` is text like any other."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(item) for key, item in value.items()}
    return value


def _arguments(value: dict[str, Any]) -> dict[str, Any]:
    return _bounded(value, ARGUMENTS_BYTES)


JSONObject = Annotated[dict[str, Any], AfterValidator(_bounded)]
Arguments = Annotated[dict[str, Any], AfterValidator(_arguments)]


class Input(BaseModel):
    """Refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionInput(Input):
    """A new session."""

    title: Annotated[Text, Field(max_length=200)] = ""
    agent: Name | None = None
    metadata: JSONObject = Field(default_factory=dict)


class SessionChange(Input):
    """Changes of a session; what is not given stays."""

    title: Annotated[Text, Field(max_length=200)] | None = None
    agent: Name | None = None
    metadata: JSONObject | None = None


class TurnOptions(Input):
    """Options of a turn."""

    parameters: JSONObject = Field(default_factory=dict)
    """Model parameters under OpenAI's names."""
    labels: Labels = Field(default_factory=list)
    """Of this turn, e.g. to take part in an experiment."""


class TurnInput(Input):
    """A message that begins a turn."""

    text: Text
    model: Name | None = None
    options: TurnOptions | None = None

    @property
    def turn_options(self) -> dict[str, object]:
        """The options as they are stored."""
        given = self.options.model_dump() if self.options is not None else {}
        if not given.get("labels"):
            given.pop("labels", None)
        return {"wire": "native", **given}


class AnswerInput(Input):
    """The answer to an open question."""

    text: Text


class CancelInput(Input):
    """Why a turn is cancelled."""

    reason: Annotated[Text, Field(max_length=500)] = ""


class DecisionInput(Input):
    """A decision on an approval request."""

    decision: Literal["approve", "deny"]
    remark: Annotated[Text, Field(max_length=2000)] = ""
    arguments: Arguments | None = None
    remember: bool = False


class LogLevelInput(Input):
    """How much a plugin logs."""

    level: Literal["debug", "info", "warning", "error", "default"]


class InstallInput(Input):
    """Where a plugin comes from."""

    source: Annotated[Text, Field(min_length=1, max_length=4096)]


class LoginInput(Input):
    """A token to log in with."""

    token: Annotated[str, Field(min_length=1, max_length=1000)]


M = TypeVar("M", bound=Input)


def read(model: type[M], document: object) -> M:
    """Validate what a client sent.

    Raises:
        InvalidInputError: It does not fit; the message says where.
    """
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        raise invalid(exc.errors(include_url=False, include_input=False, include_context=False)) from exc


class InvalidInputError(BadInputError):
    """Fields are missing, wrong or unknown."""

    code = "invalid_input"
    http_status = 422


def not_json(reason: str) -> BadInputError:
    """Return the error about a body that is no JSON."""
    return BadInputError(f"The body is not valid JSON: {reason}.", mend="Send one JSON document in UTF-8.")


def invalid(errors: list[Any]) -> BadInputError:
    """Return the error about fields that do not fit, from pydantic's list."""
    if errors and errors[0].get("type") == "json_invalid":
        return not_json(str(errors[0].get("ctx", {}).get("error", "it cannot be decoded")))
    problems = [
        {"field": ".".join(str(part) for part in error["loc"] if part != "body") or "body", "problem": error["msg"]}
        for error in errors[:20]
    ]
    listing = "; ".join(f"{problem['field']}: {problem['problem']}" for problem in problems)
    return InvalidInputError(
        f"The request does not fit: {listing}.",
        mend="Change these fields; /docs and /openapi.json tell what each route takes.",
        facts={"fields": problems},
    )


def as_mapping(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bounded JSON object, e.g. a plugin's settings."""
    try:
        return _bounded(dict(document))
    except ValueError as exc:
        raise invalid([{"loc": (), "msg": str(exc)}]) from exc
