"""The emergency stop over HTTP, and what others see of somebody's processes."""

import json
from typing import Any

import httpx

from chaos.api.conftest import House
from chaos.api.test_operations_over_http import local, trigger, wait_for

ALL = {"stop_scope": "all", "emergency_reason": "a drill"}


def started(client: httpx.Client, session_id: str, operation: str = "micro_disturbance", **more: object) -> Any:
    answer = trigger(client, session_id, operation, 0.3, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_stop_of_everything_locks_until_it_is_released(house: House) -> None:
    fault = {"point": "tool.call", "kind": "latency", "strategy": {"name": "intermittent"}, "ttl": 60}
    with house.client() as client, house.client("user") as user, house.client("operator") as operator:
        session_id = house.session("user")
        endpoint = local(started(user, session_id)["status_endpoint"])
        lease = operator.post("/chaos/faults", json=fault)
        assert lease.status_code == 201, lease.text
        assert user.post("/control/emergency_stop", json=ALL).status_code == 403
        stopped = operator.post("/control/emergency_stop", json=ALL | {"stabilization_mode": "immediate"}).json()
        assert (stopped["stopped_count"], stopped["is_locked"]) == (1, True)
        assert stopped["stopped_faults"] == [lease.json()["id"]]
        assert stopped["stopped_processes"][0]["changes"] == []
        assert user.get(endpoint).json()["status"] == "aborted"
        assert trigger(user, session_id, "micro_disturbance", 0.2).status_code == 409
        assert operator.post("/chaos/faults", json=fault).status_code == 409
        block = {"operation_type": "micro_disturbance", "intensity": 0.2, "context": {"sift_block": block_of(client)}}
        assert user.post("/chaos/trigger", json=block).status_code == 409
        assert client.get("/monitor/health").json()["overall_status"] == "critical"
        assert operator.post("/control/release").status_code == 403
        assert client.post("/control/release").json() == {"is_locked": False}
        assert user.post("/chaos/trigger", json=block).status_code == 200
        wait_for(user, endpoint, "aborted")


def block_of(client: httpx.Client) -> Any:
    text = "The plan comes first. The stage can wait until Monday."
    return client.post("/sift/documents", json={"text": text, "origin": "notes"}).json()["data"][0]


def test_a_gradual_stop_of_everything_settles_first(house: House) -> None:
    fault = {"point": "tool.call", "kind": "latency", "strategy": {"name": "persistent"}, "ttl": 60}
    with house.client() as client:
        endpoint = local(started(client, house.session())["status_endpoint"])
        lease = client.post("/chaos/faults", json=fault).json()
        stopped = client.post("/control/emergency_stop", json=ALL).json()
        assert (stopped["stabilization_mode"], stopped["is_locked"]) == ("gradual", True)
        assert client.get(endpoint).json()["status"] == "stabilizing"
        assert client.post("/chaos/faults", json=fault).status_code == 409
        client.post("/control/emergency_stop", json=ALL | {"stabilization_mode": "immediate"})
        (ended,) = [each for each in client.get("/chaos/faults").json()["faults"] if each["id"] == lease["id"]]
        assert ended["state"] == "killed"
        assert ended["strategy"]["probability"] < 1.0
        assert client.get(endpoint).json()["status"] == "aborted"
        client.post("/control/release")


def test_operators_see_processes_of_others_without_what_was_said(house: House) -> None:
    session_id = house.session("user")
    with house.client("user") as user, house.client("operator") as operator:
        process = started(user, session_id, "pattern_break")["process"]
        assert "as i said" in json.dumps(process["changes"])
        seen = [
            operator.get(f"/chaos/status/{process['id']}"),
            operator.get("/chaos/status"),
            operator.get("/chaos/status", params={"process_id": process["id"]}),
            operator.post(f"/chaos/status/{process['id']}/revert"),
        ]
        for answer in seen:
            assert answer.status_code == 200
            assert process["id"] in answer.text
            assert "as i said" not in answer.text
        assert user.get(f"/chaos/status/{process['id']}").json()["process"]["changes"] == process["changes"]


def test_lists_are_bounded_and_counted(house: House) -> None:
    with house.client("user") as user:
        for _ in range(3):
            started(user, house.session("user", turns=1))
        listed = user.get("/chaos/status", params={"limit": 2}).json()
        assert len(listed["active_processes"]) == 2
        assert listed["active_count"] >= 3
        assert user.get("/chaos/status", params={"limit": 0}).status_code == 422


def test_advice_is_given_where_another_operation_suits_better(house: House) -> None:
    with house.client("user") as user:
        conditions = {"staleness_level": 0.9}
        told = started(user, house.session("user"), trigger_conditions=conditions)
        assert told["recommended_operation"] == "pattern_break"
        assert told["process"]["trigger_conditions"] == conditions
        told = started(user, house.session("user"), "pattern_break", trigger_conditions=conditions)
        assert "recommended_operation" not in told
