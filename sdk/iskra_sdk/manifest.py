"""Plugin manifests: what a plugin is and wants, readable without importing its code."""

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iskra_sdk.errors import PluginManifestError

API_VERSION: Final = "1"
"""Version of the contracts in this package. A plugin written for another one is not loaded."""

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,63}$"

_HEADER = re.compile(
    r"^# /// iskra-plugin[ \t]*$(?P<body>(?:\r?\n#(?: [^\r\n]*)?(?=\r?$))*?)\r?\n# ///[ \t]*\r?$", re.MULTILINE
)


class PluginPermission(StrEnum):
    """What a plugin may ask for.

    Python code is not sandboxed: this is a declaration that an admin can read and that the kernel holds the plugin's
    registrations and context to, not a wall.
    """

    LLM = "llm"
    """Call models on its own account: ``context.llm``."""
    SESSIONS = "sessions"
    """Read sessions, and tell them of events of its own: ``context.sessions``, ``context.tell_session``."""
    TURNS = "turns"
    """Start and cancel turns: ``context.turns``."""
    APPROVALS = "approvals"
    """List and decide approvals: ``context.approvals``."""
    APPROVAL_RULES = "approval_rules"
    """Register rules about tools other than its own."""
    INTERCEPTORS = "interceptors"
    """Wrap kernel points."""
    ROUTES = "routes"
    """Mount HTTP routes."""
    NETWORK = "network"
    """Reach other hosts: ``context.http``."""
    FILES = "files"
    """Touch files outside its data directory (declaration only)."""
    PROCESSES = "processes"
    """Start programs (declaration only)."""


class PluginManifest(BaseModel):
    """What a plugin is and what it wants.

    Read from ``iskra-plugin.toml`` next to the code, or from a comment block in a single file, in the manner of
    Python's inline script metadata::

        # /// iskra-plugin
        # name = "weather"
        # version = "0.1.0"
        # permissions = ["network"]
        # ///

    A single file without a block gets its file name as name and no permissions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Unique in the server."""
    version: str = "0"
    """The plugin's own version, for people."""
    api: str = API_VERSION
    """The :data:`API_VERSION` it is written for."""
    description: str = ""
    """One sentence for people."""
    requires: tuple[Annotated[str, Field(pattern=NAME_PATTERN)], ...] = ()
    """Plugins that must run before it."""
    permissions: tuple[PluginPermission, ...] = ()
    """What it asks for."""
    extras: Mapping[str, str] = Field(default_factory=dict)
    """Modules it needs → what to install, e.g. ``{"llama_cpp" = "iskra[local]"}``."""
    defaults: Mapping[str, object] = Field(default_factory=dict)
    """Default settings."""


def parse_manifest(text: str, *, name: str, default_name: bool = False) -> PluginManifest:
    """Read a manifest from TOML.

    Args:
        text: The TOML document.
        name: What errors call the plugin.
        default_name: Use ``name`` where the document names none.

    Raises:
        PluginManifestError: It is malformed, asks for an unknown permission, or is for another API version.
    """
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise PluginManifestError(name, f"the manifest is no valid TOML: {exc}") from exc
    if default_name:
        document.setdefault("name", name)
    try:
        manifest = PluginManifest.model_validate(document)
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in exc.errors(include_url=False)
        )
        raise PluginManifestError(
            name,
            f"the manifest does not fit: {problems}.",
            mend="See the manifest's reference page for its fields; permissions are "
            + ", ".join(sorted(PluginPermission)),
        ) from exc
    if manifest.api != API_VERSION:
        raise PluginManifestError(
            manifest.name,
            f"it is written for plugin API {manifest.api}, this server has {API_VERSION}.",
            mend="Install a version of the plugin for this server, or upgrade the server.",
        )
    return manifest


def manifest_from_source(source: str, *, name: str) -> PluginManifest:
    """Read the manifest of a single-file plugin from its comment block.

    Raises:
        PluginManifestError: See :func:`parse_manifest`; also if there are two blocks.
    """
    found = list(_HEADER.finditer(source))
    if len(found) > 1:
        raise PluginManifestError(name, "it has more than one `iskra-plugin` block.")
    body = found[0]["body"] if found else ""
    toml = "\n".join(line[2:] for line in body.splitlines())
    return parse_manifest(toml, name=name, default_name=True)
