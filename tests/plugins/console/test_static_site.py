"""The page's files over HTTP."""

import re
from pathlib import Path

import httpx
import pytest

import iskra_plugins.console
from iskra_plugins.console import register_routes
from iskra_plugins.console.static_site import StaticSite
from iskra_sdk.errors import NotFoundError

STATIC = Path(iskra_plugins.console.__file__).parent / "static"


@pytest.fixture
def client() -> httpx.AsyncClient:
    (routes,) = register_routes()
    assert (routes.path, routes.permission) == ("/", "public")
    return httpx.AsyncClient(transport=httpx.ASGITransport(routes.app), base_url="http://127.0.0.1:8700")


async def assets(client: httpx.AsyncClient) -> list[str]:
    page = (await client.get("/")).text
    return re.findall(r'(?:src|href)="(console/[^"]+)"', page)


async def test_every_file_that_the_page_names_is_served_for_ever(client: httpx.AsyncClient) -> None:
    named = await assets(client)
    assert {Path(path).name for path in named} == {file.name for file in STATIC.iterdir()} - {"index.html"}
    for path in named:
        answer = await client.get(f"/{path}")
        assert answer.status_code == 200
        assert answer.content == (STATIC / Path(path).name).read_bytes()
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_unchanged_page_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/")
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    assert not etag.startswith("W/")
    for offered in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await client.get("/", headers={"if-none-match": offered})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await client.get("/", headers={"if-none-match": '"other"'})).status_code == 200


def test_any_change_gives_all_files_a_new_address() -> None:
    contents = {file.name: file.read_bytes() for file in STATIC.iterdir()}
    changed = {**contents, "app.js": contents["app.js"] + b"\n"}
    assert StaticSite(contents).version == StaticSite(dict(reversed(contents.items()))).version
    assert StaticSite(contents).version != StaticSite(changed).version


async def test_the_page_may_load_and_run_only_what_is_its_own(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)
    assert page.headers["x-dns-prefetch-control"] == "off"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|<script(?![^>]*src=)|style=|\son\w+=", page.text)


async def test_head_sends_the_headers_alone(client: httpx.AsyncClient) -> None:
    got, head = await client.get("/"), await client.head("/")
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize(
    "path", ["/console/0/app.js", "/app.js", "/api/v1/none", "/console/../__init__.py", "/%2e%2e/x"]
)
async def test_other_paths_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    with pytest.raises(NotFoundError, match="The console is on /"):
        await client.get(path)


async def test_nothing_can_be_written(client: httpx.AsyncClient) -> None:
    answer = await client.post("/", content=b"x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_page_asks_no_other_host() -> None:
    for file in STATIC.iterdir():
        addresses = re.findall(r"https?://[^\s\"'`)]+", file.read_text(encoding="utf-8"))
        allowed = {"http://www.w3.org/2000/svg", "http://127.0.0.1:11434/v1\\nISKRA_MODEL=qwen3"}
        assert {address for address in addresses if re.match(r"https?://[\w.]+", address)} <= allowed, file.name


def test_no_script_turns_text_into_markup() -> None:
    for file in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|Contextual",
            file.read_text(encoding="utf-8"),
        ), file.name


def test_both_languages_have_every_text() -> None:
    source = (STATIC / "texts.js").read_text(encoding="utf-8")
    english, russian = source.split("const ru = {")
    keys = re.compile(r"^  (\w+):", re.MULTILINE)
    assert keys.findall(english) == keys.findall(russian)
    used = {
        key
        for file in STATIC.glob("*.js")
        for key in re.findall(r"(?<![\w.])(?:this\.)?t\.(\w+)", file.read_text(encoding="utf-8"))
    }
    assert used - set(keys.findall(english)) == {"locale"}
    unused = set(keys.findall(english)) - used - {"status", "connect"}
    assert unused == set()
