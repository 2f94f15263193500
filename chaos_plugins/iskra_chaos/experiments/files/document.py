"""Experiments as the Chaos Toolkit writes them, in JSON or YAML, read unchanged."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.files.extension import IskraExtension
from iskra_chaos.experiments.files.tolerance import check_tolerance

MAX_BYTES = 1_048_576

MAX_DEPTH = 64
"""Levels of a file."""

MAX_PARTS = 200_000
"""Keys and values of a file."""

Number = float | str
"""Seconds, or a ``${name}`` that stands for them."""

HypothesisStrategy = Literal[
    "default", "before-method-only", "after-method-only", "during-method-only", "continuously", "skip"
]
RollbackStrategy = Literal["default", "always", "never", "deviated"]


class _Node(BaseModel):
    # Other tools put keys of their own into these files.
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class PythonProvider(_Node):
    """Calls a function."""

    type: Literal["python"]
    module: str
    func: str
    arguments: dict[str, Any] | str | None = None
    secrets: list[str] | str | None = None
    timeout: Number | None = None


class HttpProvider(_Node):
    """Sends a request."""

    type: Literal["http"]
    url: str
    method: str = "GET"
    headers: dict[str, Any] | None = None
    arguments: Any = None
    timeout: Number | list[Number] | None = None
    verify_tls: bool = True


class ProcessProvider(_Node):
    """Starts a program."""

    type: Literal["process"]
    path: str
    arguments: Any = None
    timeout: Number | None = None


Provider = Annotated[PythonProvider | HttpProvider | ProcessProvider, Field(discriminator="type")]


class Pauses(_Node):
    """Seconds to wait around an activity."""

    before: Number | None = None
    after: Number | None = None


class Activity(_Node):
    """A probe, which looks, or an action, which changes something."""

    type: Literal["probe", "action"]
    name: str = Field(min_length=1)
    provider: Provider
    tolerance: Any = None
    pauses: Pauses = Field(default_factory=Pauses)
    background: bool | str = False
    controls: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def has_tolerance(self) -> bool:
        """Whether the result is judged; ``tolerance: null`` is none."""
        return self.tolerance is not None


class Reference(_Node):
    """Stands for the activity of this name elsewhere in the file."""

    ref: str = Field(min_length=1)


class Hypothesis(_Node):
    """What the system looks like when it is well."""

    title: str = Field(min_length=1)
    probes: list[Activity | Reference] = Field(default_factory=list)
    controls: list[dict[str, Any]] = Field(default_factory=list)


class HypothesisRuntime(_Node):
    """When the hypothesis is checked.

    Attributes:
        frequency: Seconds between two checks while the method runs.
        fail_fast: Whether a failed check ends the method.
    """

    strategy: HypothesisStrategy = "default"
    frequency: Annotated[float, Field(ge=0.01)] = 1.0
    fail_fast: bool = False


class RollbackRuntime(_Node):
    """When the file's rollbacks run; undoing faults and actions with an undo is not subject to it."""

    strategy: RollbackStrategy = "default"


class Runtime(_Node):
    """How the experiment is run."""

    hypothesis: HypothesisRuntime = Field(default_factory=HypothesisRuntime)
    rollbacks: RollbackRuntime = Field(default_factory=RollbackRuntime)


class Experiment(_Node):
    """A whole experiment.

    Read one with :meth:`from_file` or :meth:`from_document`, which check what the fields alone do not say.
    """

    title: str = Field(min_length=1)
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    contributions: dict[str, Any] = Field(default_factory=dict)
    configuration: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, Any] = Field(default_factory=dict)
    controls: list[dict[str, Any]] = Field(default_factory=list)
    hypothesis: Hypothesis | None = Field(default=None, alias="steady-state-hypothesis")
    method: list[Activity | Reference]
    rollbacks: list[Activity | Reference] = Field(default_factory=list)
    runtime: Runtime = Field(default_factory=Runtime)
    extensions: list[dict[str, Any]] | None = None
    dry: bool | str = False

    _document: dict[str, Any] = PrivateAttr(default_factory=dict)
    _iskra: IskraExtension = PrivateAttr(default_factory=IskraExtension)
    _expect: list[Activity] = PrivateAttr(default_factory=list)
    _undo: dict[str, Activity] = PrivateAttr(default_factory=dict)
    _guards: dict[str, Activity] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a file; its ending tells JSON from YAML.

        Raises:
            ExperimentError: It cannot be read, or is no experiment.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as exc:
            raise ExperimentError(f"The experiment {path} cannot be read: {exc.strerror}.") from exc
        if len(content) > MAX_BYTES:
            raise ExperimentError(f"The experiment {path} is larger than {MAX_BYTES:,} bytes.")
        return cls.from_document(parse(content, is_yaml=path.suffix.lower() in (".yaml", ".yml")))

    @classmethod
    def from_document(cls, document: object, given: Mapping[str, Any] | None = None) -> Self:
        """Read a decoded file.

        Args:
            document: The file.
            given: Values of the configuration that win over those of the file.

        Raises:
            ExperimentError: It is no experiment.
        """
        if not isinstance(document, dict):
            raise ExperimentError("An experiment is an object with a title and a method.")
        try:
            experiment = cls.model_validate(document)
            own = [part for part in experiment.extensions or () if part.get("name") == "iskra"]
            if len(own) > 1:
                raise ExperimentError("The extension `iskra` is there more than once.")
            experiment._document = document
            if own:
                numbers = _numbers({**experiment.configuration, **(given or {})})
                experiment._adopt(IskraExtension.model_validate(_with_numbers(own[0], numbers)))
        except ValidationError as exc:
            raise ExperimentError(f"This is no experiment: {_first_mistake(exc)}.") from exc
        experiment._check()
        return experiment

    def with_values(self, given: Mapping[str, Any]) -> Self:
        """Return the experiment as it is with other values of its configuration.

        Raises:
            ExperimentError: With these values it is no experiment.
        """
        return type(self).from_document(self._document, given)

    def _adopt(self, own: IskraExtension) -> None:
        self._iskra = own
        self._expect = [Activity.model_validate(activity) for activity in own.expect]
        self._undo = {name: _as_activity(activity, "action", f"undo {name}") for name, activity in own.undo.items()}
        self._guards = {
            guard.name: _as_activity(
                {"tolerance": guard.tolerance, **guard.probe} if guard.tolerance is not None else guard.probe,
                "probe",
                guard.name,
            )
            for guard in own.guards
            if guard.probe is not None
        }

    def _check(self) -> None:
        if self.hypothesis is not None:
            for probe in self.resolve(self.hypothesis.probes):
                if not probe.has_tolerance:
                    raise ExperimentError(f"The probe {probe.name!r} of the hypothesis has no tolerance.")
        for probe in self._expect:
            if not probe.has_tolerance:
                raise ExperimentError(f"The expectation {probe.name!r} has no tolerance.")
        for activity in self.activities():
            if activity.has_tolerance:
                check_tolerance(activity.tolerance)
        names = {activity.name for activity in self.resolve(self.method)}
        if unknown := sorted(set(self._undo) - names):
            raise ExperimentError(f"There is no action {unknown[0]!r} in the method that could be undone.")
        self._check_evidence(names | {probe.name for probe in self._expect})

    def _check_evidence(self, names: AbstractSet[str]) -> None:
        for name, tolerance in self._iskra.evidence.items():
            if name not in names:
                raise ExperimentError(f"The evidence {name!r} is neither in the method nor among the expectations.")
            if tolerance_probe(tolerance) is not None:
                raise ExperimentError(f"The evidence {name!r} cannot be judged by a further probe.")
            check_tolerance(tolerance)

    @property
    def document(self) -> Mapping[str, Any]:
        """The file as it was written."""
        return self._document

    @property
    def iskra(self) -> IskraExtension:
        """Our own part; empty when the file has none."""
        return self._iskra

    @property
    def expectations(self) -> Sequence[Activity]:
        """Probes that are judged after the method."""
        return self._expect

    @property
    def undo(self) -> Mapping[str, Activity]:
        """What takes an action back, by the action's name."""
        return self._undo

    @property
    def guard_probes(self) -> Mapping[str, Activity]:
        """Probes of guards, by the guard's name."""
        return self._guards

    def resolve(self, entries: Sequence[Activity | Reference]) -> list[Activity]:
        """Return activities with references followed.

        Raises:
            ExperimentError: A reference leads nowhere.
        """
        return [entry if isinstance(entry, Activity) else self._referred(entry) for entry in entries]

    def _referred(self, reference: Reference) -> Activity:
        for entry in self._entries():
            if isinstance(entry, Activity) and entry.name == reference.ref:
                return entry
        raise ExperimentError(f"The reference {reference.ref!r} leads to no activity of the experiment.")

    def _entries(self) -> Iterator[Activity | Reference]:
        yield from self.hypothesis.probes if self.hypothesis else ()
        yield from self.method
        yield from self.rollbacks

    def activities(self) -> list[Activity]:
        """Return everything that could run: also probes inside tolerances and in the configuration."""
        found = self.resolve(list(self._entries()))
        found += [*self._expect, *self._undo.values(), *self._guards.values()]
        found += self.configuration_probes().values()
        found += [inner for activity in found if (inner := tolerance_probe(activity.tolerance)) is not None]
        if self.iskra.load is not None and (inner := tolerance_probe(self.iskra.load.expect)) is not None:
            found.append(inner)
        return found

    def configuration_probes(self) -> dict[str, Activity]:
        """Return the configuration's values that a probe has to find out."""
        return {
            name: _as_activity(value, "probe", name)
            for name, value in self.configuration.items()
            if isinstance(value, dict) and value.get("type") == "probe"
        }


def _numbers(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"${{{name}}}": value
        for name, value in configuration.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _with_numbers(value: Any, numbers: Mapping[str, Any]) -> Any:
    """Put numbers of the configuration where our own part names them: there, unlike elsewhere, types are checked."""
    if isinstance(value, str):
        return numbers.get(value, value)
    if isinstance(value, Mapping):
        return {key: _with_numbers(item, numbers) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item, numbers) for item in value]
    return value


def tolerance_probe(tolerance: object) -> Activity | None:
    """Return the probe that a tolerance is, or ``None``."""
    if not isinstance(tolerance, Mapping) or tolerance.get("type") != "probe":
        return None
    return _as_activity(tolerance, "probe", "tolerance")


def _as_activity(activity: Mapping[str, Any], kind: str, name: str) -> Activity:
    try:
        return Activity.model_validate({"type": kind, "name": name, **activity})
    except ValidationError as exc:
        raise ExperimentError(f"{name!r} is no {kind}: {_first_mistake(exc)}.") from exc


def _first_mistake(error: ValidationError) -> str:
    # The input is left out: it may be a secret.
    mistake = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in mistake["loc"])
    return f"{where}: {mistake['msg']}" if where else str(mistake["msg"])


def parse(content: bytes, *, is_yaml: bool) -> object:
    """Decode a file.

    Raises:
        ExperimentError: It is neither JSON nor, where that is allowed, YAML, or it is more than it seems: nested very
            deeply, or made huge by YAML aliases.
    """
    try:
        return _yaml(content) if is_yaml else _json(content)
    except RecursionError as exc:
        raise ExperimentError(f"The experiment is nested deeper than {MAX_DEPTH} levels.") from exc


def _json(content: bytes) -> object:
    try:
        found = json.loads(content)
    except ValueError as exc:
        raise ExperimentError(f"The experiment is no JSON: {exc}.") from exc
    _require_modest(found, lambda value: value.values() if isinstance(value, dict) else value)
    return found


def _yaml(content: bytes) -> object:
    import yaml  # most servers never read one

    def inner(node: yaml.Node) -> Iterable[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            return [part for pair in node.value for part in pair]
        return node.value if isinstance(node, yaml.SequenceNode) else ()

    try:
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        if node is None:
            return None
        # Before the values are made: merging aliases copies them.
        _require_modest(node, inner)
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as exc:  # a date that there is not is a ValueError
        raise ExperimentError(f"The experiment is no YAML: {exc}.") from exc


def _require_modest(root: Any, inner: Callable[[Any], Iterable[Any]]) -> None:
    """Refuse what has too many parts or levels, each part counted as often as it is there.

    Args:
        root: The file.
        inner: Returns the parts of a part.
    """
    open_parts, count = [(root, 0)], 0
    while open_parts:
        part, depth = open_parts.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise ExperimentError(f"The experiment is nested deeper than {MAX_DEPTH} levels, or contains itself.")
        if count > MAX_PARTS:
            raise ExperimentError(
                f"The experiment has more than {MAX_PARTS:,} parts, aliases counted where they stand."
            )
        if isinstance(part, str | int | float | None):
            continue
        open_parts += [(each, depth + 1) for each in inner(part)]
