"""Serves the page's few files from memory, so that a page never mixes files of two versions."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Final

from iskra_sdk.errors import NotFoundError
from iskra_sdk.routes import ASGIApp

_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

_INDEX: Final = "index.html"
_PREFIX: Final = "/console/"
_VERSION_MARK: Final = b"{version}"

_CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        # No code path may turn text into markup; browsers that know trusted types hold us to it.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)

_SECURITY_HEADERS: Final = [
    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    # Browsers look up the hosts of links before anybody clicks them, and a host name can carry data out.
    (b"x-dns-prefetch-control", b"off"),
]

_REVALIDATE: Final = b"no-cache"
_FOREVER: Final = b"public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: bytes
    etag: bytes
    cache_control: bytes


class StaticSite:
    """An ASGI application over a folder that was read once.

    ``index.html`` is served on ``/`` and revalidated each time. The other files live below ``/console/<version>/``,
    where the version is a digest of them all, and may be cached for ever. ``{version}`` in ``index.html`` names it.

    Args:
        contents: File name → content.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        digest = hashlib.sha256()
        for name in sorted(contents):
            digest.update(f"{name}\0{len(contents[name])}\0".encode())
            digest.update(contents[name])
        self.version = digest.hexdigest()[:12]
        index = contents[_INDEX].replace(_VERSION_MARK, self.version.encode())
        self._files = {"/": _file(_INDEX, index, _REVALIDATE)}
        for name, body in contents.items():
            if name != _INDEX:
                self._files[f"{_PREFIX}{self.version}/{name}"] = _file(name, body, _FOREVER)
        self._files["/favicon.ico"] = _file("icon.svg", contents["icon.svg"], _REVALIDATE)

    @classmethod
    def read(cls, folder: Traversable) -> ASGIApp:
        """Read all files of a folder."""
        return cls({entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        file = self._files.get(path)
        if file is None:
            raise NotFoundError("There is nothing at this path.", mend="The console is on /, the interface on /docs.")
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"This page can only be read.\n", [(b"allow", b"GET, HEAD")])
        elif _has_current(scope["headers"], file.etag):
            await _answer(send, 304, b"", _caching(file))
        else:
            headers = [(b"content-type", file.media_type), *_caching(file)]
            await _answer(send, 200, file.body, headers, head_only=scope["method"] == "HEAD")


def _file(name: str, body: bytes, cache_control: bytes) -> _File:
    suffix = name[name.rindex(".") :]
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    return _File(body, _TYPES[suffix], etag, cache_control)


def _caching(file: _File) -> list[tuple[bytes, bytes]]:
    return [(b"etag", file.etag), (b"cache-control", file.cache_control)]


def _has_current(headers: list[tuple[bytes, bytes]], etag: bytes) -> bool:
    """Say whether the client's copy is the current one; If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    offered = b",".join(value for name, value in headers if name == b"if-none-match")
    tags = [tag.strip().removeprefix(b"W/") for tag in offered.split(b",")]
    return etag in tags or b"*" in tags


async def _answer(
    send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]], *, head_only: bool = False
) -> None:
    headers = [*headers, *_SECURITY_HEADERS]
    if status >= 400:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    if status != 304:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head_only else body})
