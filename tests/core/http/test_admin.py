"""Administration: plugins, audit, breakers."""

import httpx

from http_probe import chat

PLUGIN = "/api/v1/admin/plugins/probe"


async def test_a_plugin_can_be_looked_at_and_reloaded(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/api/v1/admin/plugins")).json()["data"]
    assert "probe" in [plugin["name"] for plugin in listed]
    before = (await client.get(PLUGIN)).json()
    receipt = (await client.post(f"{PLUGIN}/reload")).json()
    assert receipt["new_generation"] > before["generation"]
    assert receipt["action"] == "reload"
    after = (await client.get(PLUGIN)).json()
    assert after["generation"] == receipt["new_generation"]
    assert after["receipts"]
    assert (await client.get(f"{PLUGIN}/receipts")).json()["data"]


async def test_settings_that_do_not_fit_change_nothing(client: httpx.AsyncClient) -> None:
    before = (await client.get(f"{PLUGIN}/settings")).json()
    response = await client.put(f"{PLUGIN}/settings", json={"nonsense": 1})
    assert response.status_code == 422
    assert response.json()["code"] == "plugin_settings"
    assert (await client.get(f"{PLUGIN}/settings")).json() == before


async def test_an_unknown_plugin_is_not_found(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", ""), ("POST", "/enable"), ("POST", "/disable"), ("POST", "/reload"), ("GET", "/receipts"),
    ):  # fmt: skip
        response = await client.request(method, f"/api/v1/admin/plugins/nobody{path}")
        assert response.status_code == 404, path
        assert response.json()["code"] == "plugin_not_found"


async def test_what_cannot_be_installed_is_refused_with_a_reason(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/admin/plugins", json={"source": "/nowhere/at/all.py"})
    assert 400 <= response.status_code < 500
    assert response.json()["detail"]


async def test_privileged_acts_are_audited(client: httpx.AsyncClient) -> None:
    await client.post(f"{PLUGIN}/reload", headers={"X-Request-ID": "audited-1"})
    await client.post("/api/v1/login-codes")
    entries = (await client.get("/api/v1/admin/audit", params={"limit": 5})).json()["data"]
    assert {"login.code", "plugin.reload"} <= {entry["action"] for entry in entries}
    assert all(entry["principal"] for entry in entries)
    page = (await client.get("/api/v1/admin/audit", params={"limit": 1})).json()
    older = (await client.get("/api/v1/admin/audit", params={"limit": 1, "before": page["next"]})).json()
    assert older["data"][0]["number"] < page["data"][0]["number"]


async def test_breakers_show_the_targets_that_were_used(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json=chat("llm:default/wire", "hi"))
    assert (await client.get("/api/v1/admin/breakers")).json()["fake/wire"] == {
        "state": "closed", "failures": 0, "opened_after": None
    }  # fmt: skip
