"""What the voices tell of their work stands in the figures."""

from chaos.api.conftest import House


def test_a_collaboration_shows_in_the_voice_metrics(house: House) -> None:
    session_id = house.session(turns=1)
    with house.client() as client:
        task = {"task_type": "Plan the fair", "priority": 0.5, "success_criteria": []}
        done = client.post(
            "/voices/collaborate",
            json={
                "primary_voice": "kain",
                "collaborating_voices": ["sam"],
                "collaborative_task": task,
                "session_id": session_id,
            },
        )
        assert done.status_code == 200, done.text
        voices: dict[str, object] = {}
        for _ in range(200):
            found = client.get("/monitor/metrics", params={"metric_types": ["voice_coordination"]}).json()
            voices = found["voice_coordination_metrics"]
            if voices["collaboration_success_rate"] is not None:
                break
        active = voices["active_voices"]
        assert isinstance(active, list)
        assert {"kain", "sam"} <= set(active)
        assert voices["coordination_efficiency"] == 0.0  # the stub's synthesis names no voice
