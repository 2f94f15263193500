"""Every route of every plugin that comes along: who is let in, and whose objects they get. A new route has to be told.

The kernel checks the permission of a mount; many routes ask for more than that by themselves. So each route stands here
with the permission that it really takes, and is called by somebody who lacks just that one, with a body that fits.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.sift.sift_blocks import english_block
from fake_upstream import Call, Request, fake_upstream
from iskra_sdk.client import IskraClient
from running_iskra import RunningServer, running_iskra

BLOCK = english_block().model_dump(mode="json")
LEVELS = ("chaos:basic", "chaos:intermediate", "chaos:advanced", "chaos:admin")
INJECTION = {"sift_block": BLOCK, "injection_type": "paradox_seeds", "intensity": 0.3}


@dataclass(frozen=True)
class Taken:
    """What a route takes.

    Attributes:
        permission: The least one that lets somebody in.
        body: One that fits; of somebody else's session where the route has one in its body.
        is_personal: It is about an object that has an owner: to everybody else it does not exist.
    """

    permission: str
    body: dict[str, Any] | None = None
    is_personal: bool = False


SESSION = "{session_id}"
TRIGGER = {"operation_type": "fire_reset", "intensity": 0.5, "context": {"session_id": SESSION}}
ROUTES = {
    "GET /api/v1/learned-rules/": Taken("approvals:decide"),
    "POST /api/v1/learned-rules/{rule_id}/accept": Taken("approvals:decide", {}, is_personal=True),
    "DELETE /api/v1/learned-rules/{rule_id}": Taken("approvals:decide", is_personal=True),
    "GET /api/v1/caches/": Taken("admin:server"),
    "DELETE /api/v1/caches/": Taken("admin:server"),
    "POST /api/v1/chaos/trigger": Taken("chaos:intermediate", TRIGGER, is_personal=True),
    "POST /api/v1/chaos/async": Taken("chaos:intermediate", TRIGGER, is_personal=True),
    "GET /api/v1/chaos/status": Taken("chaos:read"),
    "GET /api/v1/chaos/status/{process_id}": Taken("chaos:read", is_personal=True),
    "POST /api/v1/chaos/status/{process_id}/revert": Taken("chaos:read", is_personal=True),
    "POST /api/v1/chaos/status/{process_id}/choose": Taken("chaos:read", {"branch": 1}, is_personal=True),
    "POST /api/v1/chaos/stabilisers/{lease_id}/revert": Taken("chaos:read", is_personal=True),
    "GET /api/v1/chaos/sessions/{session_id}/balance": Taken("chaos:read", is_personal=True),
    "POST /api/v1/chaos/calibrate": Taken("chaos:advanced", {}),
    "GET /api/v1/chaos/sessions/{session_id}": Taken("chaos:read", is_personal=True),
    "PUT /api/v1/chaos/sessions/{session_id}": Taken("chaos:read", {"opt_in": True}, is_personal=True),
    "GET /api/v1/chaos/faults": Taken("chaos:advanced"),
    "POST /api/v1/chaos/faults": Taken("chaos:advanced", {"point": "llm.request", "kind": "down", "ttl": 1}),
    "GET /api/v1/chaos/faults/vocabulary": Taken("chaos:advanced"),
    "POST /api/v1/chaos/faults/{fault_id}/heartbeat": Taken("chaos:advanced"),
    "GET /api/v1/chaos/faults/{fault_id}/turns": Taken("chaos:advanced"),
    "DELETE /api/v1/chaos/faults/{fault_id}": Taken("chaos:advanced"),
    "GET /api/v1/chaos/experiments": Taken("chaos:advanced"),
    "POST /api/v1/chaos/experiments/lock": Taken("chaos:advanced", {"title": "t", "reasons": ["it failed"]}),
    "POST /api/v1/chaos/experiments/unlock": Taken("chaos:admin", {"reason": "looked at"}),
    "GET /api/v1/sift/sessions/{session_id}": Taken("chaos:read", is_personal=True),
    "POST /api/v1/sift/documents": Taken("chaos:intermediate", {"text": "Iron rusts in rain.", "origin": "a book"}),
    "POST /api/v1/sift/chaos_analyze": Taken(
        "chaos:intermediate",
        {"sift_block": BLOCK, "analysis_depth": "surface", "session_id": SESSION},
        is_personal=True,
    ),
    "POST /api/v1/sift/clearance": Taken("chaos:intermediate", {**INJECTION, "session_id": SESSION}, is_personal=True),
    "POST /api/v1/sift/chaos_inject": Taken(
        "chaos:intermediate", {**INJECTION, "ethical_clearance": {}, "session_id": SESSION}, is_personal=True
    ),
    "POST /api/v1/sift/chaos_revert": Taken("chaos:intermediate", {"sift_block": BLOCK, "intervention_id": "x"}),
    "POST /api/v1/control/emergency_stop": Taken("chat", {"session_id": SESSION}, is_personal=True),
    "POST /api/v1/control/release": Taken("chaos:admin", {}),
    "GET /api/v1/monitor/health": Taken("chaos:read"),
    "GET /api/v1/monitor/metrics": Taken("chaos:read"),
    "POST /api/v1/monitor/experiments": Taken("chaos:advanced", {"title": "t", "verdict": "held"}),
    "GET /api/v1/monitor/rest": Taken("chaos:read"),
    "GET /api/v1/monitor/plant": Taken("chaos:advanced"),
    "GET /api/v1/pins/{session_id}": Taken("sessions:write", is_personal=True),
    "PUT /api/v1/pins/{session_id}/{message_id}": Taken("sessions:write", {}, is_personal=True),
    "DELETE /api/v1/pins/{session_id}/{message_id}": Taken("sessions:write", is_personal=True),
    "GET /api/v1/mcp/servers": Taken("admin:plugins"),
    "POST /api/v1/mcp/servers/{server}/tools/{tool}/accept": Taken("admin:plugins", {}),
    "POST /api/v1/voices/activate": Taken(
        "voices:use",
        {"voice_type": "sam", "interaction_purpose": "structure_recovery", "context": {"session_id": SESSION}},
        is_personal=True,
    ),
    "POST /api/v1/voices/collaborate": Taken(
        "voices:use",
        {
            "primary_voice": "sam",
            "collaborating_voices": ["kain"],
            "collaborative_task": {"content": "Plan a fair."},
            "session_id": SESSION,
        },
        is_personal=True,
    ),
    "GET /api/v1/voices/coordination/{session_id}": Taken("voices:use", is_personal=True),
    "GET /api/v1/conversation_metrics/{session_id}": Taken("sessions:read", is_personal=True),
}
MOUNTED = {  # without a document of its own
    "GET /api/v1/realtime": Taken("chaos:read"),
}
PERMISSIONS = sorted({taken.permission for taken in (*ROUTES.values(), *MOUNTED.values())} | {"chaos:read"})


def with_what(permission: str) -> list[str]:
    """Return what somebody has who may do what ``permission`` allows, and no more of its kind."""
    return [permission, "chaos:read", "chat"] if permission in LEVELS else [permission]


def without(permission: str) -> list[str]:
    """Return everything but a permission and those that imply it; the mount itself stays open."""
    higher = LEVELS[LEVELS.index(permission) :] if permission in LEVELS else (permission,)
    lower = () if permission != "chaos:read" else LEVELS
    return [each for each in [*PERMISSIONS, *LEVELS] if each not in (*higher, *lower)]


def name(kind: str, permission: str) -> str:
    return f"{kind}-{permission.replace(':', '.')}"


def token_of(person: str) -> str:
    return f"token-of-{person}-{'x' * 20}"


def model(_request: Request) -> Iterator[str | Call]:
    yield "As I said, the plan comes first."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("permissions")
    (folder / "data").mkdir()
    people = {name("with", each): with_what(each) for each in PERMISSIONS}
    people |= {name("without", each): without(each) for each in PERMISSIONS}
    (folder / "data" / "iskra.toml").write_text(
        '[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\n'
        + "".join(
            f"[[users]]\nname = {json.dumps(person)}\npermissions = {json.dumps(permissions)}\n"
            f"token_sha256 = {json.dumps(hashlib.sha256(token_of(person).encode()).hexdigest())}\n"
            for person, permissions in people.items()
        )
    )
    with fake_upstream(model) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
        with running_iskra(folder, settings=settings) as server:
            yield server


@pytest.fixture(scope="module")
def session_id(server: RunningServer) -> str:
    with IskraClient(server.url, server.token) as owner:
        return owner.sessions.create("the owner's").id


def asked(
    server: RunningServer, route: str, taken: Taken, person: str | None, session_id: str
) -> tuple[int, dict[str, Any]]:
    """Call a route, and return the status and what came with it."""
    method, _, path = route.partition(" ")
    concrete = re.sub(r"{\w+}", "x1", path.replace(SESSION, session_id))
    body = json.loads(json.dumps(taken.body).replace(SESSION, session_id)) if taken.body is not None else None
    headers = {} if person is None else {"Authorization": f"Bearer {token_of(person)}"}
    answer = httpx.request(method, f"{server.url}{concrete}", headers=headers, json=body, timeout=60)
    return answer.status_code, answer.json() if answer.content[:1] == b"{" else {}


def test_each_route_of_a_plugin_is_told_here(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    paths = httpx.get(f"{server.url}/openapi.json", headers=headers, timeout=60).json()["paths"]
    page = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    kernel = set(re.findall(r"^\| `(\w+)` \| `(/[^`]*)` \|", page, re.MULTILINE))
    found = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method in operations
        if (method.upper(), path) not in kernel
    }
    assert found == set(ROUTES)


@pytest.mark.parametrize("route", [*ROUTES, *MOUNTED])
def test_nobody_gets_in_without_a_credential(server: RunningServer, session_id: str, route: str) -> None:
    status, _ = asked(server, route, (ROUTES | MOUNTED)[route], None, session_id)
    assert status == 401


@pytest.mark.parametrize("route", [*ROUTES, *MOUNTED])
def test_nobody_gets_in_without_just_that_permission(server: RunningServer, session_id: str, route: str) -> None:
    taken = (ROUTES | MOUNTED)[route]
    status, problem = asked(server, route, taken, name("without", taken.permission), session_id)
    assert status == 403, problem
    assert taken.permission in problem["detail"]


@pytest.mark.parametrize("route", [route for route, taken in ROUTES.items() if taken.is_personal])
def test_what_belongs_to_somebody_else_does_not_exist(server: RunningServer, session_id: str, route: str) -> None:
    taken = ROUTES[route]
    status, problem = asked(server, route, taken, name("with", taken.permission), session_id)
    assert status == 404, problem


@pytest.mark.parametrize("route", [route for route, taken in ROUTES.items() if not taken.is_personal])
def test_that_permission_is_enough(server: RunningServer, session_id: str, route: str) -> None:
    taken = ROUTES[route]
    status, problem = asked(server, route, taken, name("with", taken.permission), session_id)
    assert status not in (401, 403, 500), problem
    assert status in (200, 201, 204, 400, 404, 409), problem
