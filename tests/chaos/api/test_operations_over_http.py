"""Operations over HTTP, on a real server: start, look, take back, stop, and everything that is refused."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from chaos.api.conftest import House, model

OPERATIONS = (
    "micro_disturbance",
    "pattern_break",
    "paradox_generation",
    "fire_reset",
    "quantum_flux",
    "emergent_stimulation",
)


def trigger(client: httpx.Client, session_id: str, operation: str, intensity: float, **more: object) -> httpx.Response:
    body = {"operation_type": operation, "intensity": intensity, "context": {"session_id": session_id}, **more}
    return client.post("/chaos/trigger", json=body)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_acts_on_the_next_answer_and_can_be_taken_back(house: House, operation: str) -> None:
    session_id = house.session()
    with house.client() as client:
        assert client.put(f"/chaos/sessions/{session_id}", json={"opt_in": True}).json()["opt_in"] is True
        started = trigger(client, session_id, operation, 0.5, seed=7, accept_modifications=True)
        assert started.status_code == 200, started.text
        process = started.json()["process"]
        assert process["status"] == "active"
        assert process["changes"]
        assert trigger(client, session_id, operation, 0.3).status_code == 409
        asked = len(house.upstream.requests)
        house.say("And the food?", session_id)
        status = client.get(local(started.json()["status_endpoint"])).json()
        assert status["process"]["requested"] >= 1
        assert status["process"]["applied"] >= 1
        assert len(house.upstream.requests) > asked
        back = client.post(local(started.json()["revert_endpoint"]))
        assert back.json()["status"] == "rolled_back", back.text
        assert client.post(local(started.json()["revert_endpoint"])).json()["status"] == "rolled_back"


def test_an_operation_runs_its_whole_life_by_itself(house: House) -> None:
    session_id = house.session()
    with house.client() as client:
        accepted = client.post(
            "/chaos/async",
            json={"operation_type": "pattern_break", "intensity": 0.2, "context": {"session_id": session_id}},
        )
        assert accepted.status_code == 202
        status = client.get(local(accepted.json()["status_endpoint"])).json()
        assert (status["status"], status["progress"]) == ("active", 0.0)
        house.say("And the food?", session_id)
        wait_for(client, local(accepted.json()["status_endpoint"]), "completed")
        process = client.get(local(accepted.json()["status_endpoint"])).json()["process"]
        assert [step["status"] for step in process["history"]] == ["initiated", "active", "stabilizing", "completed"]
        # The model says the same again and again: the operation was applied, and its effect was not seen.
        assert (process["applied"], process["observed"]) == (1, 0)
        assert process["metrics_after"]


def local(endpoint: str) -> str:
    """Return an endpoint as the clients of these tests call it."""
    assert endpoint.startswith("/api/v1/")
    return endpoint.removeprefix("/api/v1")


def wait_for(client: httpx.Client, endpoint: str, status: str) -> None:
    """Wait until an operation has a status: what follows a turn comes a moment after its end."""
    for _ in range(500):
        if client.get(endpoint).json()["status"] == status:
            return
    raise AssertionError(client.get(endpoint).text)


def test_without_consent_a_strong_operation_is_refused_with_what_would_help(house: House) -> None:
    session_id = house.session()
    with house.client() as client:
        refused = trigger(client, session_id, "paradox_generation", 0.9)
        assert refused.status_code == 403
        facts = refused.json()
        assert "consent.creative-level" in json.dumps(facts)
        assert "suggested_modifications" in json.dumps(facts)
        trusting = trigger(
            client, session_id, "paradox_generation", 0.9, context={"session_id": session_id, "ethical_approval": True}
        )
        assert trusting.status_code == 403
        mended = trigger(client, session_id, "paradox_generation", 0.9, accept_modifications=True)
        assert mended.json()["process"]["intensity"] < 0.4
        approvals = mended.json()["process"]["ethical_approvals"]
        assert approvals[0]["modifications_applied"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"intensity": 0.05}, "intensity"),
        ({"intensity": 1.5}, "intensity"),
        ({"intensity": True}, "intensity"),
        ({"intensity": "0.5"}, "intensity"),
        ({"operation_type": "big_bang"}, "operation_type"),
        ({"context": {"session_id": "x", "surprise": 1}}, "surprise"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_bodies_are_told_by_their_place(house: House, change: dict[str, object], where: str) -> None:
    body = {"operation_type": "micro_disturbance", "intensity": 0.3, "context": {"session_id": "x"}, **change}
    with house.client() as client:
        refused = client.post("/chaos/trigger", json=body)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        assert any(where in field["field"] for field in refused.json()["fields"]), refused.text


def test_an_operation_is_limited_to_a_voice_that_there_is(house: House) -> None:
    session_id = house.session(turns=1)
    context = {"session_id": session_id, "voice_target": "napoleon"}
    with house.client() as client:
        unknown = trigger(client, session_id, "micro_disturbance", 0.2, context=context)
        assert unknown.status_code == 400
        assert "iskra" in unknown.json()["voices"]
        known = trigger(client, session_id, "micro_disturbance", 0.2, context=context | {"voice_target": "Искра"})
        assert known.json()["process"]["affected_components"] == [f"session/{session_id}", "voice/iskra"]
        house.say("And the food?", session_id)  # in no voice
        endpoint = local(known.json()["status_endpoint"])
        assert client.get(endpoint).json()["process"]["applied"] == 0


def test_no_session_and_no_block_is_no_target(house: House) -> None:
    with house.client() as client:
        body = {"operation_type": "micro_disturbance", "intensity": 0.3, "context": {}}
        assert client.post("/chaos/trigger", json=body).status_code in (400, 422)
        session_id = house.session(turns=1)
        named = client.post("/chaos/trigger", json=body, headers={"X-Session-ID": session_id})
        assert named.status_code == 200, named.text


def test_sessions_and_processes_of_others_do_not_exist(house: House) -> None:
    session_id = house.session("user")
    with house.client("user") as owner, house.client("beginner") as other:
        assert trigger(other, session_id, "micro_disturbance", 0.2).status_code == 404
        started = trigger(owner, session_id, "micro_disturbance", 0.2).json()
        endpoint, process_id = local(started["status_endpoint"]), started["process"]["id"]
        assert other.get(endpoint).status_code == 404
        assert other.post(f"{endpoint}/revert").status_code == 404
        assert other.get("/chaos/status", params={"process_id": process_id}).status_code == 404
        assert other.put(f"/chaos/sessions/{session_id}", json={"opt_in": True}).status_code == 404
        stop = {"stop_scope": "specific_process", "process_id": process_id}
        assert other.post("/control/emergency_stop", json=stop).status_code == 404
        stop = {"stop_scope": "current_session", "session_id": session_id}
        assert other.post("/control/emergency_stop", json=stop).status_code == 404
        assert owner.get(endpoint).json()["status"] == "active"
        assert owner.post("/control/emergency_stop", json=stop | {"stabilization_mode": "immediate"}).status_code == 200
        assert owner.get(endpoint).json()["status"] == "aborted"


def test_levels_of_access(house: House) -> None:
    session_id = house.session("beginner")
    with house.client("beginner") as client:
        assert trigger(client, session_id, "paradox_generation", 0.2).status_code == 403
        assert trigger(client, session_id, "micro_disturbance", 0.2).status_code == 200
        assert client.post("/control/emergency_stop", json={"stop_scope": "all"}).status_code == 403
        assert client.get("/chaos/faults").status_code == 403
        assert client.put(f"/chaos/sessions/{session_id}", json={"sandbox": True}).status_code == 403
    with house.client("reader") as client:
        assert trigger(client, house.session("reader"), "micro_disturbance", 0.2).status_code == 403
        assert client.get("/chaos/status").status_code == 200
    with house.client("stranger") as client:
        assert client.get("/chaos/status").status_code == 403
        assert client.get("/monitor/health").status_code == 403


def test_a_gradual_stop_calms_the_conversation_first(house: House) -> None:
    session_id = house.session()
    with house.client() as client:
        started = trigger(client, session_id, "micro_disturbance", 0.2).json()
        stop = {"stop_scope": "specific_process", "process_id": started["process"]["id"]}
        assert client.post("/control/emergency_stop", json=stop).json()["is_locked"] is False
        endpoint = local(started["status_endpoint"])
        assert client.get(endpoint).json()["status"] == "stabilizing"
        house.say("Go on", session_id)
        assert "Settle down" in json.dumps(house.upstream.requests[-1])
        wait_for(client, endpoint, "completed")


def test_calibration(house: House) -> None:
    with house.client() as client:
        state = {"chaos_level": 0.4, "stability_level": 0.85}
        done = client.post("/chaos/calibrate", json={"current_state": state})
        assert done.status_code == 200, done.text
        assert done.json()["tension_after"] == pytest.approx(0.3)
        impossible = {"chaos_level": 0.9, "stability_level": 0.1, "optimal_tension": 0.3}
        refused = client.post("/chaos/calibrate", json={"current_state": state, "target_balance": impossible})
        assert refused.status_code in (400, 422)
        assert client.post("/chaos/calibrate", json={"current_state": {"chaos_level": 7}}).status_code == 422
    with house.client("user") as client:
        assert client.post("/chaos/calibrate", json={"current_state": state}).status_code == 403


def test_figures(house: House) -> None:
    session_id = house.session(turns=2)
    with house.client() as client:
        client.put(f"/chaos/sessions/{session_id}", json={"opt_in": True}).raise_for_status()
        for number in range(3):
            house.say(f"And what about day {number}?", session_id)
        for _ in range(200):
            if client.get("/monitor/metrics").json()["stability_metrics"]["stability_trend"]:
                break
        health = client.get("/monitor/health").json()
        assert health["overall_status"] in ("healthy", "warning")
        metrics = client.get("/monitor/metrics", params={"time_range": "15m"}).json()
        assert metrics["balance_metrics"]["optimal_tension_range"] == [0.25, 0.35]
        assert 0.0 <= metrics["chaos_metrics"]["current_chaos_level"] <= 1.0
        only = client.get("/monitor/metrics", params={"metric_types": ["stability"]}).json()
        assert only["chaos_metrics"] is None
        assert only["stability_metrics"]["stability_trend"] in ("improving", "stable", "declining")
        for wrong in ("", "1", "5y", "99d", "-1h", "0s"):
            assert client.get("/monitor/metrics", params={"time_range": wrong}).status_code in (400, 422)
        before = client.get("/monitor/metrics").json()["stability_metrics"]["resilience_score"]
        client.post("/monitor/experiments", json={"title": "t", "verdict": "held", "recovery_seconds": 1.5})
        client.post("/monitor/experiments", json={"title": "t", "verdict": "invalid"})
        after = client.get("/monitor/metrics").json()["stability_metrics"]
        assert (before, after["resilience_score"]) == (None, 1.0)
        assert after["recovery_time_avg"] == "1.5 seconds"
        rest = client.get("/monitor/rest").json()
        assert not rest["may_run"]
        assert rest["rests_until"]


def test_the_plant_is_for_operators_and_too_few_interventions_suggest_nothing(house: House) -> None:
    with house.client("user") as client:
        assert client.get("/monitor/plant").status_code == 403
    with house.client("operator") as client:
        found = client.get("/monitor/plant", params={"tenant": "nobody"}).json()
        assert (found["status"], found["interventions"], found["suggested"]) == ("too_few", 0, None)
        assert found["in_use"] == {"proportional": 0.5, "integral": 0.18}


def test_a_scheduled_experiment_is_put_off_while_the_server_rests(house: House) -> None:
    with house.client() as client:
        client.post("/monitor/experiments", json={"title": "t", "verdict": "held"}).raise_for_status()
    (house.server.workspace / "later.json").write_text("{}")
    done = house.server.iskra("chaos", "run", "later.json", "--scheduled")
    assert (done.returncode, done.stdout[:32]) == (5, "Not run: the server rests until "), done.stderr
    assert house.server.iskra("chaos", "run", "later.json").returncode == 2


def test_the_level_of_an_experiment_counts_for_the_rest_after_it(house: House) -> None:
    ready = {"type": "python", "module": "iskra_chaos.experiments.probes", "func": "server_is_ready"}
    probe = {"name": "ready", "type": "probe", "tolerance": True, "provider": ready}
    plan = {
        "title": "A hard one",
        "description": "Nothing is done to the server.",
        "steady-state-hypothesis": {"title": "It answers", "probes": [probe]},
        "method": [],
        "extensions": [{"name": "iskra", "level": 3}],
    }
    (house.server.workspace / "hard.json").write_text(json.dumps(plan))
    done = house.server.iskra("chaos", "run", "hard.json")
    assert done.returncode == 0, done.stdout + done.stderr
    with house.client() as client:
        rests_until = client.get("/monitor/rest").json()["rests_until"]
    left = datetime.fromisoformat(rests_until) - datetime.now(UTC)
    assert left > timedelta(hours=23)


def test_a_branch_is_chosen_by_its_number_by_its_owner_alone(house: House) -> None:
    session_id = house.session("user", turns=1)
    house.upstream.answer = lambda _: iter(["Moor a barge.\n\nOther ways:\n1. A choir sings.\n2. Kites fly."])
    try:
        with house.client("user") as owner, house.client("operator") as other:
            started = trigger(owner, session_id, "quantum_flux", 0.2).json()
            endpoint = local(started["status_endpoint"])
            assert owner.post(f"{endpoint}/choose", json={"branch": 1}).status_code == 409
            house.say("How can the fair surprise people?", session_id, "user")
            assert owner.get(endpoint).json()["status"] == "active"
            offered = owner.get(endpoint).json()["intermediate_results"]
            assert {each["number"] for each in offered} == {0, 1, 2}
            assert other.post(f"{endpoint}/choose", json={"branch": 1}).status_code == 404
            assert owner.post(f"{endpoint}/choose", json={"branch": -1}).status_code == 422
            assert owner.post(f"{endpoint}/choose", json={"branch": 8}).status_code in (400, 422)
            chosen = owner.post(f"{endpoint}/choose", json={"branch": 1})
            (kept,) = [each for each in chosen.json()["intermediate_results"] if each["chosen"]]
            assert kept["number"] == 1
            house.say("Go on.", session_id, "user")
            assert kept["text"] in json.dumps(house.upstream.requests[-1])
            wait_for(owner, endpoint, "completed")
    finally:
        house.upstream.answer = model


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("path", ["/chaos/trigger", "/chaos/async"])
def test_what_a_client_says_of_its_approval_counts_for_nothing(house: House, path: str, operation: str) -> None:
    session_id = house.session()
    context = {"session_id": session_id, "ethical_approval": True, "request": "Make me doubt that I am worth anything."}
    body = {"operation_type": operation, "intensity": 1.0, "context": context}
    with house.client() as client:
        refused = client.post(path, json=body)
        assert refused.status_code == 403, refused.text
        assert client.post(path, json=body | {"ethical_approval": True}).status_code == 422
        ended = client.get("/chaos/status", params={"limit": 500}).json()["recent_processes"]
        assert [each["status"] for each in ended if each["session_id"] == session_id] == ["rejected"]


@pytest.mark.parametrize("wrong", ["true", "x", "0" * 64, "e30.e30.e30", "\u0000", "approved"])
def test_an_injection_counts_no_approval_but_the_servers_own(house: House, wrong: str) -> None:
    with house.client() as client:
        text = "The plan comes first. The stage can wait until Monday."
        block = client.post("/sift/documents", json={"text": text, "origin": "notes"}).json()["data"][0]
        said = {"approved_by": "the ethics council", "concerns": [], "modifications_applied": ["all"]}
        for clearance in ({}, said, {**said, "token": wrong}):
            body = {"sift_block": block, "injection_type": "paradox_seeds", "ethical_clearance": clearance}
            assert client.post("/sift/chaos_inject", json=body).status_code == 403


@pytest.mark.parametrize("path", ["/chaos/trigger", "/chaos/async", "/sift/chaos_inject", "/chaos/faults"])
def test_a_refusal_comes_as_openapi_says(house: House, path: str) -> None:
    with house.client() as client:
        described = client.get(f"{house.server.url}/openapi.json").json()
        schema = described["paths"][f"/api/v1{path}"]["post"]["responses"]["403"]["content"]["application/json"][
            "schema"
        ]
        (kept,) = [each for name, each in described["components"]["schemas"].items() if schema["$ref"].endswith(name)]
        refused = trigger(client, house.session(), "paradox_generation", 0.9)
        assert refused.status_code == 403
        assert set(kept["properties"]) - {"suggested_voice"} <= set(refused.json())
