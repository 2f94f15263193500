"""SIFT blocks over HTTP: built, analysed, unsettled with a clearance, and restored byte for byte."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from chaos.api.conftest import House
from fake_upstream import Call, Request

TYPES = ("paradox_seeds", "perspective_shifts", "uncertainty_zones", "emergence_triggers")

DOCUMENT = """The fair takes place in June because the weather is mild then. The town pays 500 euros.
Volunteers build the stage on Friday, therefore the wood has to be there on Thursday. Perhaps it will rain.
Every stand needs electricity. The food comes from two restaurants, and the music from the school."""


@pytest.fixture
def client(house: House) -> Any:
    with house.client("user") as client:
        yield client


def block_of(client: httpx.Client) -> dict[str, Any]:
    made = client.post("/sift/documents", json={"text": DOCUMENT, "origin": "https://example.org/fair"})
    assert made.status_code == 200, made.text
    return dict(made.json()["data"][0])


def content(block: dict[str, Any]) -> str:
    return json.dumps({name: block[name] for name in ("source", "inference", "fact")}, sort_keys=True)


def inject(client: httpx.Client, block: dict[str, Any], kind: str, **more: Any) -> httpx.Response:
    asked = {"sift_block": block, "injection_type": kind, "intensity": 0.3}
    reviewed = client.post("/sift/clearance", json=asked)
    assert reviewed.status_code == 200, reviewed.text
    clearance = {"approved_by": "somebody", "token": reviewed.json()["token"]}
    return client.post("/sift/chaos_inject", json={**asked, "ethical_clearance": clearance, **more})


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_injected_comes_out_again(client: httpx.Client, kind: str) -> None:
    block = block_of(client)
    injected = inject(client, block, kind)
    assert injected.status_code == 200, injected.text
    unsettled = injected.json()["sift_block"]
    assert content(unsettled) != content(block)
    assert unsettled["fact"]["verified_data"] == block["fact"]["verified_data"]
    back = client.post(
        "/sift/chaos_revert",
        json={"sift_block": unsettled, "intervention_id": injected.json()["intervention"]["id"]},
    )
    assert back.status_code == 200, back.text
    assert content(back.json()) == content(block)
    assert len(back.json()["trace"]["chaos_interventions"]) == 2


@pytest.mark.parametrize("depth", ["surface", "deep", "comprehensive"])
def test_a_block_is_analysed_at_three_depths(house: House, client: httpx.Client, depth: str) -> None:
    asked = {"sift_block": block_of(client), "analysis_depth": depth, "session_id": house.session("user", turns=1)}
    found = client.post("/sift/chaos_analyze", json=asked)
    assert found.status_code == 200, found.text
    assert found.json()["analysis_depth"] == depth
    assert 0.0 <= found.json()["chaos_potential"] <= 1.0


def test_turns_of_a_session_are_blocks(house: House, client: httpx.Client) -> None:
    session_id = house.session("user", turns=2)
    blocks = client.get(f"/sift/sessions/{session_id}").json()["data"]
    assert len(blocks) == 2
    with house.client("beginner") as other:
        assert other.get(f"/sift/sessions/{session_id}").status_code == 404


def test_a_clearance_works_once_and_for_one_injection(client: httpx.Client) -> None:
    block = block_of(client)
    asked = {"sift_block": block, "injection_type": "paradox_seeds", "intensity": 0.3}
    token = client.post("/sift/clearance", json=asked).json()["token"]

    def use(token: str, **change: Any) -> httpx.Response:
        return client.post("/sift/chaos_inject", json={**asked, "ethical_clearance": {"token": token}, **change})

    assert use("").status_code == 403
    assert use("approved").status_code == 403
    assert use(token, intensity=0.2).status_code == 403
    assert use(token, injection_type="uncertainty_zones").status_code == 403
    other = copy.deepcopy(block)
    other["source"]["origin"] = "elsewhere"
    assert use(token, sift_block=other).status_code == 403
    assert use(token[:-1] + ("0" if token[-1] != "0" else "1")).status_code == 403
    assert use(token).status_code == 200
    again = use(token)
    assert again.status_code == 403
    assert "used" in again.text


def test_a_falsehood_is_planted_in_sandboxes_only(client: httpx.Client) -> None:
    block = block_of(client)
    asked = {"sift_block": block, "injection_type": "contradiction_points", "intensity": 0.3}
    reviewed = client.post("/sift/clearance", json=asked).json()
    assert reviewed["review"]["approved"] is False
    assert reviewed["token"] == ""


def test_too_strong_is_refused_with_a_patch(client: httpx.Client) -> None:
    asked = {"sift_block": block_of(client), "injection_type": "paradox_seeds", "intensity": 1.0}
    review = client.post("/sift/clearance", json=asked).json()["review"]
    assert review["decision"] == "modify"
    assert review["suggested_modifications"][0]["patch"][0]["path"] == "/intensity"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda block: block.pop("fact"), "fact"),
        (lambda block: block["source"].update(reliability=2), "reliability"),
        (lambda block: block["inference"].update(logic_chain="one"), "logic_chain"),
        (lambda block: block.update(surprise=1), "surprise"),
    ],
)
def test_a_block_that_breaks_the_schema_is_told_by_its_place(client: httpx.Client, change: Any, where: str) -> None:
    block = block_of(client)
    change(block)
    refused = client.post("/sift/chaos_analyze", json={"sift_block": block, "analysis_depth": "surface"})
    assert refused.status_code == 422
    assert where in refused.text


def test_a_block_of_ten_megabytes_is_refused(client: httpx.Client) -> None:
    block = block_of(client)
    block["fact"]["verified_data"] = ["x" * 10_000] * 1_000
    refused = client.post("/sift/chaos_analyze", json={"sift_block": block, "analysis_depth": "surface"})
    assert refused.status_code in (413, 422)
    assert len(refused.content) < 5_000


def test_a_block_tells_who_answered_when_and_on_which_results(
    house: House, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.server.workspace / "fair.txt").write_text("The fair costs 500 euros in June.")

    def reads_first(request: Request) -> Iterator[str | Call]:
        is_read = request["messages"][-1]["role"] == "tool"
        yield "The fair costs 500 euros in June." if is_read else Call("read_file", {"path": "fair.txt"})

    monkeypatch.setattr(house.upstream, "answer", reads_first)
    session_id = house.session("user", turns=2)
    found = client.get(f"/sift/sessions/{session_id}")
    first, second = found.json()["data"]
    assert first["source"]["origin"] == "assistant(agent:ask)"
    read = [key for key, one in second["source"]["context"]["evidence"].items() if one["name"] == "read_file"]
    assert any(f"[evidence: {key}" in fact for key in read for fact in second["fact"]["verified_data"])
    assert first["source"]["reliability"] > 0.6
    assert first["trace"]["processing_history"][0]["at"]
    assert first["id"] < second["id"]
    assert second["inference"]["chaos_potential"] > first["inference"]["chaos_potential"]  # it says the same again
    assert client.get(f"/sift/sessions/{session_id}").json() == found.json()


def test_a_voice_is_named_in_the_block(house: House, client: httpx.Client) -> None:
    session_id = house.session("user", turns=1)
    house.say("What else?", session_id, "user", model="voice:sam")
    assert (
        client.get(f"/sift/sessions/{session_id}").json()["data"][-1]["source"]["origin"] == "assistant(agent:ask, sam)"
    )


def test_a_document_is_as_fresh_as_its_date(client: httpx.Client) -> None:
    def reliability(date: str) -> float:
        document = {"text": DOCUMENT, "origin": "https://example.org/fair", "author": "A. Smith", "date": date}
        block = client.post("/sift/documents", json=document).json()["data"][0]
        assert block["trace"]["processing_history"][0]["actor"] == "user"
        return float(block["source"]["reliability"])

    assert reliability("1999") < reliability("2024-05-17") < reliability(datetime.now(UTC).date().isoformat())


@pytest.mark.parametrize(
    "text", ["I want to kill myself, therefore I wrote a letter.", "Я хочу умереть, поэтому написал письмо."]
)
def test_a_block_that_speaks_of_a_crisis_is_not_unsettled(client: httpx.Client, text: str) -> None:
    block = client.post("/sift/documents", json={"text": text, "origin": "https://example.org/letter"}).json()["data"][
        0
    ]
    block["source"]["chaos_sensitivity"] = 0.0  # whatever a client says of it
    for kind in TYPES:
        asked = {"sift_block": block, "injection_type": kind, "intensity": 0.3}
        reviewed = client.post("/sift/clearance", json=asked).json()
        assert reviewed["token"] == ""
        assert "vulnerability.crisis" in [one["rule"] for one in reviewed["review"]["violations"]]
        assert reviewed["review"]["help"]


def test_a_delicate_block_is_unsettled_gently_only(client: httpx.Client) -> None:
    text = "My doctor named the diagnosis, therefore the treatment begins. As I said: my doctor named the diagnosis."
    block = client.post("/sift/documents", json={"text": text, "origin": "https://example.org/x"}).json()["data"][0]
    asked = {"sift_block": block, "injection_type": "perspective_shifts", "intensity": 0.35}
    rules = [one["rule"] for one in client.post("/sift/clearance", json=asked).json()["review"]["violations"]]
    assert "sensitive_domain.intensity" in rules
    assert client.post("/sift/clearance", json={**asked, "intensity": 0.3}).json()["review"]["approved"]


def test_a_russian_block_is_reviewed_in_russian(client: httpx.Client) -> None:
    text = "Ярмарка пройдёт в июне, поэтому сцену построят в пятницу. Город платит 500 евро."
    block = client.post("/sift/documents", json={"text": text, "origin": "https://example.org/ru"}).json()["data"][0]
    asked = {"sift_block": block, "injection_type": "contradiction_points", "intensity": 0.3}
    [violation] = client.post("/sift/clearance", json=asked).json()["review"]["violations"]
    assert violation["message"].startswith("Подложен") or "песочниц" in violation["message"]
    injected = inject(client, block, "uncertainty_zones").json()
    assert injected["intervention"]["verify"] == "агент спрашивает или проверяет, а не утверждает"


def test_a_missing_clearance_says_where_to_get_one(client: httpx.Client) -> None:
    asked = {"sift_block": block_of(client), "injection_type": "paradox_seeds", "ethical_clearance": {}}
    refused = client.post("/sift/chaos_inject", json=asked)
    assert refused.status_code == 403
    assert refused.json()["reason"] == "missing"
    assert "/api/v1/sift/clearance" in refused.json()["mend"]
