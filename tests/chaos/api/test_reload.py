"""The plugin is reloaded while operations are in force, on a real server."""

from chaos.api.conftest import House
from chaos.api.test_operations_over_http import local, trigger


def test_a_reload_ends_what_acts_keeps_what_was_chosen_and_starts_afresh(house: House) -> None:
    session_id = house.session()
    with house.client() as client:
        client.put(f"/chaos/sessions/{session_id}", json={"opt_in": True, "label": "blue"})
        endpoint = local(trigger(client, session_id, "pattern_break", 0.5).json()["status_endpoint"])
        fault = {"point": "tool.call", "kind": "latency", "strategy": {"name": "persistent"}, "ttl": 60}
        assert client.post("/chaos/faults", json=fault).status_code == 201
        reloaded = client.post("/admin/plugins/chaos/reload")
        assert reloaded.status_code == 200, reloaded.text
        assert client.get(endpoint).json()["status"] == "aborted"
        assert client.get("/chaos/faults").json()["faults"] == []
        assert client.get(f"/chaos/sessions/{session_id}").json()["label"] == "blue"
        house.say("And the food?", session_id)
        assert "Do not use the phrases" not in str(house.upstream.requests[-1])
        again = trigger(client, house.session(), "pattern_break", 0.2)
        assert again.json()["process"]["status"] == "active", again.text


def test_a_locked_server_stays_locked_through_a_reload(house: House) -> None:
    with house.client() as client:
        session_id = house.session(turns=1)
        client.post("/control/emergency_stop", json={"stop_scope": "all", "stabilization_mode": "immediate"})
        assert client.post("/admin/plugins/chaos/reload").status_code == 200
        assert client.get("/monitor/health").json()["is_locked"] is True
        assert trigger(client, session_id, "micro_disturbance", 0.2).status_code == 409
        assert client.post("/control/release").status_code == 200
        assert trigger(client, session_id, "micro_disturbance", 0.2).status_code == 200
