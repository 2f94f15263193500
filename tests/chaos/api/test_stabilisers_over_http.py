"""Stabilisers on a real server: they come by themselves, are seen, speak through the voices, and are taken back."""

from typing import Any

from chaos.api.conftest import House


def _calmed(house: House, session_id: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    with house.client() as client:
        for number in range(12):
            house.say(f"And what about day {number}?", session_id)
            for _ in range(100):
                seen = client.get(f"/chaos/sessions/{session_id}/balance").json()
                if seen["tension"] is not None:
                    break
            if any(each["stabiliser"] == "voice_sam" for each in seen["stabilisers"]):
                return seen
    raise AssertionError(seen)


def test_stabilisers_come_are_seen_and_are_taken_back(house: House) -> None:
    with house.client() as client:
        too_rigid = {"chaos_level": 0.0, "stability_level": 0.65}
        client.post("/chaos/calibrate", json={"current_state": too_rigid}).raise_for_status()
        session_id = house.session(turns=1)
        chosen = {"opt_in": True, "automatic": True}
        client.put(f"/chaos/sessions/{session_id}", json=chosen).raise_for_status()
        seen = _calmed(house, session_id)
        assert seen["output"] < 0.0
        sam = next(each for each in seen["stabilisers"] if each["stabiliser"] == "voice_sam")
        listed = client.get("/chaos/status").json()["active_stabilisers"]
        assert sam["id"] in [each["id"] for each in listed]
        speaking = client.get(f"/voices/coordination/{session_id}").json()["active_voices"]
        assert "sam" in [each["voice_type"] for each in speaking]
        with house.client("user") as other:
            assert other.post(f"/chaos/stabilisers/{sam['id']}/revert").status_code == 404
            assert other.get(f"/chaos/sessions/{session_id}/balance").status_code == 404
            assert sam["id"] not in [each["id"] for each in other.get("/chaos/status").json()["active_stabilisers"]]
        reverted = client.post(f"/chaos/stabilisers/{sam['id']}/revert").json()
        assert (reverted["status"], reverted["turns_left"]) == ("reverted", 0)
        assert client.post(f"/chaos/stabilisers/{sam['id']}/revert").json() == reverted
        assert client.post("/chaos/stabilisers/calm_none/revert").status_code == 404


def test_a_stop_of_a_session_takes_its_stabilisers_back_and_nothing_comes_by_itself(house: House) -> None:
    with house.client() as client:
        too_rigid = {"chaos_level": 0.0, "stability_level": 0.65}
        client.post("/chaos/calibrate", json={"current_state": too_rigid}).raise_for_status()
        session_id = house.session(turns=1)
        client.put(f"/chaos/sessions/{session_id}", json={"opt_in": True, "automatic": True}).raise_for_status()
        acting = [each["id"] for each in _calmed(house, session_id)["stabilisers"] if each["status"] == "active"]
        assert acting
        stopped = client.post("/control/emergency_stop", json={"session_id": session_id}).json()
        assert set(stopped["stopped_stabilisers"]) == set(acting)
        listed = client.get("/chaos/status").json()["active_stabilisers"]
        assert not [each for each in listed if each["session_id"] == session_id]
        assert client.get(f"/chaos/sessions/{session_id}").json()["automatic"] is False
