"""The reference page on chaos says what the code does."""

import inspect
import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from iskra_chaos.api import access, bodies, chaos_routes, monitor_routes
from iskra_chaos.api.realtime import message_of
from iskra_chaos.balance import wire
from iskra_chaos.balance.alerts import packaged_alert_rules
from iskra_chaos.ethics import Review, packaged_rules
from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.experiments import program
from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.files.extension import IskraExtension
from iskra_chaos.experiments.verdict import VerdictName
from iskra_chaos.faults import firing
from iskra_chaos.faults import parameters as fault_parameters
from iskra_chaos.faults.models import FaultLease, FaultRequest
from iskra_chaos.faults.vocabulary import VOCABULARY, FaultKind
from iskra_chaos.figures import ExperimentResult, VoiceCoordinationMetrics
from iskra_chaos.processes import process
from iskra_chaos.processes.telling import ChaosEventType
from iskra_chaos.settings import ChaosSettings
from iskra_chaos.sift import analysis, trace
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.injections.result import SIFTChaosInjectionResult
from iskra_chaos.stabilisers.lease import StabiliserLease
from iskra_metrics.conversation import Readings
from iskra_sdk.errors import ConflictError
from iskra_sdk.event import Event, Severity
from iskra_sdk.interceptor import Point
from markdown_pages import ROOT, code_blocks
from running_iskra import running_iskra

PAGE = (ROOT / "docs" / "reference" / "chaos.md").read_text(encoding="utf-8")

SCHEMAS: tuple[type[BaseModel], ...] = (
    process.ChaosProcess,
    process.EthicalApproval,
    process.ProcessMetrics,
    process.Transition,
    bodies.ChaosResponse,
    bodies.AsyncAccepted,
    bodies.OperationStatus,
    bodies.ActiveChaosProcess,
    bodies.SessionBalanceView,
    StabiliserLease,
    bodies.EmergencyStopResponse,
    chaos_routes.ChaosStatus,
    wire.SystemState,
    wire.TargetBalance,
    wire.CalibrationResult,
    wire.BalanceMetrics,
    wire.ChaosMetrics,
    wire.StabilityMetrics,
    VoiceCoordinationMetrics,
    monitor_routes.SystemHealth,
    monitor_routes.Metrics,
    monitor_routes.ScheduleRest,
    monitor_routes.PlantIdentification,
    ExperimentResult,
    Review,
    FaultLease,
    analysis.ChaosAnalysisResult,
    SIFTChaosInjectionResult,
    trace.ChaosIntervention,
    trace.PhaseTransition,
)


def section(title: str) -> str:
    """Return the text below a heading, up to the next of its level or above."""
    depth = len(title.split(" ")[0])
    text = PAGE.partition(f"\n{title}\n")[2]
    assert text, title
    return re.split(rf"^#{{2,{depth}}} ", text, flags=re.MULTILINE)[0]


def rows(text: str, header: str) -> list[list[str]]:
    """Return the cells of the table whose header line begins with ``header``."""
    lines = text.partition(f"\n| {header}")[2].splitlines()[2:]
    table = lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    assert table, header
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_names(text: str, header: str) -> list[str]:
    return [names(row[0])[0] for row in rows(text, header)]


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the routes of a real server with what its OpenAPI document says of them."""
    with running_iskra(tmp_path_factory.mktemp("server")) as server:
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{server.url}/openapi.json", headers={"Authorization": f"Bearer {server.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            paths = json.load(answer)["paths"]
    return {(method.upper(), path): told for path, methods in paths.items() for method, told in methods.items()}


def test_it_lists_every_route_with_its_permission(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    mounts = ("/api/v1/chaos", "/api/v1/sift", "/api/v1/control", "/api/v1/monitor")
    real = {
        (method, path, told["x-iskra-permission"], told["description"].splitlines()[0])
        for (method, path), told in operations.items()
        if path.startswith(mounts)
    }
    listed = {
        (*names(row[0]), *names(row[1]), *names(row[2]), row[4])
        for row in rows(section("## Routes"), "method")
        if "WebSocket" not in row[0]
    }
    assert listed == real


def test_it_lists_every_permission() -> None:
    assert first_names(section("## Permissions"), "permission") == [spec.name for spec in access.PERMISSIONS]


def test_it_lists_every_setting_with_its_default() -> None:
    listed = [(names(row[0])[0], names(row[1])[0]) for row in rows(section("## Settings"), "setting")]
    shown = ChaosSettings().model_dump(mode="json")
    assert listed == [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in shown.items()]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_it_names_the_fields_of_each_schema(schema: type[BaseModel]) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"`{schema.__name__}`: ")]
    assert names(line)[1:] == list(schema.model_fields)


def test_it_lists_the_fields_of_a_fault() -> None:
    assert first_names(section("## Faults"), "field") == list(FaultRequest.model_fields)


def test_it_lists_every_operation() -> None:
    assert first_names(section("## Operations"), "operation") == list(get_args(OperationType))


def test_it_lists_every_status_and_where_it_leads() -> None:
    listed = {names(row[0])[0]: set(names(row[2])) for row in rows(section("## Processes"), "status")}
    statuses = [str(status) for status in process.ProcessStatus]
    assert listed == {before: {after for after in statuses if may_become(before, after)} for before in statuses}


def may_become(before: str, after: str) -> bool:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    one = process.ChaosProcess(
        id="x", type="micro_disturbance", intensity=0.5, status=process.ProcessStatus(before), start_time=now
    )
    try:
        one.move(process.ProcessStatus(after), now)
    except ConflictError:
        return False
    return True


def test_it_lists_every_ethics_rule_word_for_word() -> None:
    listed = [(names(row[0])[0], row[1], row[2]) for row in rows(section("## Ethics rules"), "rule")]
    assert listed == [(rule.id, rule.outcome, rule.message.en) for rule in packaged_rules().rules]


def test_it_lists_every_kind_of_fault_at_every_point() -> None:
    points: dict[FaultKind, list[Point]] = {}
    for point, kinds in VOCABULARY.items():
        for kind in kinds.values():
            points.setdefault(kind, []).append(point)
    expected = [
        [
            f"`{kind.name}`",
            ", ".join(f"`{point}`" for point in at),
            str(kind.family),
            defaults_of(kind.parameters) or "–",
            ", ".join(limits_of(kind)) or "–",
            kind.about,
        ]
        for kind, at in points.items()
    ]
    assert rows(section("## Faults"), "kind") == expected


def defaults_of(model: type[BaseModel]) -> str:
    return ", ".join(
        f"`{name}` {json.dumps(field.default, ensure_ascii=False)}" for name, field in model.model_fields.items()
    )


def limits_of(kind: FaultKind) -> Iterator[str]:
    if kind.reads_only:
        yield "reads only"
    if kind.needs_sandbox:
        yield "sandbox"
    if kind.is_server_wide:
        yield "whole server"


def test_it_explains_every_parameter_of_faults() -> None:
    models = [model for _, model in inspect.getmembers(fault_parameters, inspect.isclass)]
    told = {
        (tuple(model.model_fields), " ".join((model.__doc__ or "").replace("``", "`").split()))
        for model in models
        if issubclass(model, fault_parameters.Parameters) and model.model_fields
    }
    assert {(tuple(names(row[0])), row[1]) for row in rows(section("## Faults"), "parameters")} == told


def test_it_lists_every_strategy_with_its_fields() -> None:
    strategies = get_args(get_args(firing.Strategy)[0])
    listed = {names(row[0])[0]: set(names(row[1])) for row in rows(section("## Faults"), "strategy")}
    assert listed == {model.model_fields["name"].default: set(model.model_fields) - {"name"} for model in strategies}


def test_it_lists_the_fields_of_the_extension() -> None:
    assert set(first_names(section("## Experiment files"), "field")) == set(IskraExtension.model_fields) - {"name"}


def test_it_lists_the_subcommands_and_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {row[0].strip("`").split(" ")[2]: row[1] for row in rows(section("### `iskra chaos`"), "command")}
    assert set(listed) == set(re.findall(r"^    (\w+) ", helped(["--help"], capsys), re.MULTILINE))
    for command, does in listed.items():
        real = set(re.findall(r"--[a-z-]+", helped([command, "--help"], capsys))) - {"--help"}
        assert set(re.findall(r"--[a-z-]+", does)) == real, command


def helped(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        program.main(arguments)
    return capsys.readouterr().out


def test_it_lists_the_exit_status_of_each_verdict() -> None:
    listed = {name: int(row[0]) for row in rows(section("### `iskra chaos`"), "exit status") for name in names(row[1])}
    assert listed == dict(program._STATUS)


def test_it_lists_every_field_of_a_block() -> None:
    listed = [(names(row[0])[0], names(row[1])[0]) for row in rows(section("## SIFT blocks"), "part")]
    block = SIFTBlock.model_fields
    real = [
        (part, name)
        for part in ("source", "inference", "fact", "trace")
        for name in getattr(block[part].annotation, "model_fields")  # noqa: B009 - the annotation's type is not known
    ]
    assert listed == real
    assert first_names(section("## SIFT blocks"), "injection") == list(get_args(trace.InjectionType))
    assert first_names(section("## SIFT blocks"), "depth") == list(get_args(analysis.Depth))


def test_it_lists_every_conversation_metric() -> None:
    listed = first_names(section("## Conversation metrics"), "metric")
    assert set(listed) == set(Readings.__dataclass_fields__)


def test_it_lists_every_alert() -> None:
    assert first_names(section("## Balance"), "alert") == [rule.name for rule in packaged_alert_rules()]


def test_it_lists_every_event_and_the_message_it_becomes() -> None:
    listed = first_names(section("## Events"), "type")
    assert set(listed) == {f"chaos.{name}" for name in get_args(ChaosEventType)}
    messages = set(first_names(section("### The WebSocket `/api/v1/realtime`"), "`message_type`"))
    become = {message_of(Event(name, {}))["message_type"] for name in (*listed, "voices.checked")}
    assert messages == become | {"error"}


def test_it_lists_the_priority_of_each_severity() -> None:
    table = rows(section("### The WebSocket `/api/v1/realtime`"), "severity")
    listed = {severity: names(row[1])[0] for row in table for severity in names(row[0])}
    assert listed == {str(one): message_of(Event("chaos.x", {}, severity=one))["priority"] for one in Severity}


@pytest.mark.parametrize("verdict", get_args(VerdictName))
def test_the_guide_explains_every_verdict(verdict: str) -> None:
    guide = (ROOT / "docs" / "how-to" / "run-experiments.md").read_text(encoding="utf-8")
    assert f"\n| `{verdict}` | " in guide


def test_the_guides_experiment_is_one() -> None:
    page: Path = ROOT / "docs" / "how-to" / "run-experiments.md"
    (block,) = [block for block in code_blocks(page) if block.info == "yaml"]
    experiment = Experiment.from_document(yaml.safe_load(block.text))
    (fault,) = experiment.iskra.faults
    VOCABULARY[Point(fault.point)][fault.kind].parameters.model_validate(fault.parameters)
    assert [activity.name for activity in experiment.expectations]
