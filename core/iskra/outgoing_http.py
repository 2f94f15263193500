"""Reaches other servers for plugins, and never this machine or its network by accident."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from iskra_sdk.errors import PermissionDeniedError, ToolError
from iskra_sdk.plugin_context import HTTPResponse

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST_REDIRECTS = 5
_LONGEST_URL = 8192
_METHOD = re.compile(r"[A-Z]{1,16}\Z")
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_FORBIDDEN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


def is_public(address: IPAddress) -> bool:
    """Return whether an address lies on the open Internet, as does every IPv4 address that is embedded in it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        embedded: list[ipaddress.IPv4Address] = []
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None:
            embedded.append(address.sixtofour)
        if address.teredo is not None:
            embedded += address.teredo
        if any(address in network for network in _NAT64):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)) and address in _NAT64[0]
        if int(address) >> 32 == 0 or address.is_site_local:  # the old "IPv4-compatible" form; the old private range
            return False
        return address.is_global and not address.is_multicast and all(is_public(inner) for inner in embedded)
    return address.is_global and not address.is_multicast and not address.is_reserved


class _GuardedResolver(AbstractResolver):
    """Resolves a name once, checks every address, and hands exactly those to the connection."""

    def __init__(self, allowed_private_hosts: frozenset[str]) -> None:
        self._allowed = allowed_private_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for kind, _, proto, _, address in found:
            text = str(address[0])
            if canonical_host(host) not in self._allowed and not is_public(ipaddress.ip_address(text)):
                raise _not_allowed(host)
            results.append(
                ResolveResult(
                    hostname=host, host=text, port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def canonical_host(host: str) -> str:
    """Return a host name as it is compared: lower case, without the root's dot."""
    return host.lower().rstrip(".").strip("[]")


def _not_allowed(host: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"The host {host[:200]!r} is on this machine or in a private network, which plugins may not reach.",
        mend="If it is meant, an admin lists it in the setting `allowed_private_hosts`.",
        facts={"host": host[:200]},
    )


class OutgoingHTTP:
    """The HTTP client of one plugin; see ``iskra_sdk.HTTPClient``.

    Args:
        allowed_private_hosts: Host names or addresses that may be on private networks.
    """

    def __init__(self, allowed_private_hosts: Sequence[str] = ()) -> None:
        self._allowed = frozenset(canonical_host(host) for host in allowed_private_hosts)
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30.0,
        max_bytes: int = 10_000_000,
    ) -> HTTPResponse:
        """Send a request, follow redirects that are allowed, return the whole answer."""
        method = method.upper()
        if not _METHOD.match(method) or method in ("CONNECT", "TRACE"):
            raise PermissionDeniedError(f"The HTTP method {method[:20]!r} is not allowed.")
        target = self._checked(url)
        sent = {name: value for name, value in (headers or {}).items() if name.lower() not in _FORBIDDEN_HEADERS}
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(method, target, sent, body, max_bytes)
        except TimeoutError as exc:
            raise ToolError(f"{target.host} did not answer within {timeout:g} s.") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            denied = _denial(exc)
            if denied is not None:
                raise denied from exc
            raise ToolError(f"{target.host} cannot be reached: {type(exc).__name__}.") from exc

    async def close(self) -> bool:
        """Close the connections; return whether there were any."""
        session, self._session = self._session, None
        if session is None:
            return False
        await session.close()
        return True

    async def _follow(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, max_bytes: int
    ) -> HTTPResponse:
        for _ in range(_MOST_REDIRECTS + 1):
            session = self._open()
            async with session.request(
                method, url, headers={**headers, "Accept-Encoding": "identity"}, data=body, allow_redirects=False
            ) as response:
                location = response.headers.get("Location")
                if response.status not in (301, 302, 303, 307, 308) or not location:
                    return HTTPResponse(
                        response.status,
                        {name.lower(): value for name, value in response.headers.items()},
                        await _read(response, max_bytes),
                    )
                following = self._checked(str(url.join(URL(location))))
                if following.origin() != url.origin():
                    headers = {k: v for k, v in headers.items() if k.lower() not in _CREDENTIAL_HEADERS}
                if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                    method, body = "GET", None
                url = following
        raise ToolError(f"{url.host} redirects more than {_MOST_REDIRECTS} times.")

    def _checked(self, url: str) -> URL:
        """Return a URL that may be asked for; names are judged again when they are resolved."""
        try:
            parsed = URL(url) if len(url) <= _LONGEST_URL else URL()
            _ = parsed.port
        except (ValueError, TypeError) as exc:
            raise PermissionDeniedError(f"{url[:200]!r} is no valid URL.") from exc
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise PermissionDeniedError(f"{url[:200]!r} is no http or https URL.")
        if parsed.user or parsed.password:
            raise PermissionDeniedError("A URL with a user name in it is not allowed.", mend="Send a header instead.")
        host = canonical_host(parsed.host)
        if host in self._allowed:
            return parsed
        if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
            raise _not_allowed(host)
        address = _literal(host)
        if address is not None and not is_public(address):
            raise _not_allowed(host)
        return parsed

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                resolver=_GuardedResolver(self._allowed), use_dns_cache=False, limit=32, limit_per_host=8
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
                headers={"User-Agent": "Iskra"},
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    too_much = ToolError(f"{response.url.host} sends more than {max_bytes} bytes.")
    if response.content_length is not None and response.content_length > max_bytes and response.method != "HEAD":
        raise too_much
    pieces: list[bytes] = []
    length = 0
    async for piece in response.content.iter_any():
        length += len(piece)
        if length > max_bytes:
            raise too_much
        pieces.append(piece)
    return b"".join(pieces)


def _literal(host: str) -> IPAddress | None:
    """Read a host as an address in any spelling the system would accept, such as ``0x7f.1`` or ``2130706433``."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _denial(error: BaseException | None) -> PermissionDeniedError | None:
    """Return the guard's refusal that aiohttp wrapped into an error of its own."""
    while error is not None:
        if isinstance(error, PermissionDeniedError):
            return error
        error = error.__cause__ or error.__context__
    return None
