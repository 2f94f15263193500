"""Settings of the workspace plugin."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PRIVATE = (
    ".env",
    ".env.*",
    "!.env.example",
    "!.env.sample",
    "!.env.template",
    ".envrc",
    ".aws",
    ".docker/config.json",
    ".git/config",
    ".git-credentials",
    ".gnupg",
    ".htpasswd",
    ".iskra",
    ".kube",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".ssh",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "id_rsa*",
    "!id_*.pub",
    "*.jks",
    "*.kdbx",
    "*.key",
    "*.keystore",
    "*.p12",
    "*.pem",
    "*.pfx",
)

SKIPPED_FOLDERS = (
    ".git",
    ".hg",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
    "venv",
)

Count = Annotated[int, Field(ge=1)]


class WorkspaceSettings(BaseModel):
    """What an admin may turn; see ``docs/reference/workspace-tools.md``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_lines: Count = 2000
    """Most lines one ``read_file`` call returns."""
    read_bytes: Annotated[int, Field(ge=1000)] = 100_000
    """Most bytes one ``read_file`` call returns."""
    write_bytes: Count = 5_000_000
    """Largest file ``write_file`` writes."""
    list_entries: Count = 1000
    """Most names one ``list_files`` call returns."""
    search_results: Count = 200
    """Most lines one ``search_in_code`` call returns."""
    search_file_bytes: Count = 1_000_000
    """Larger files are not searched."""
    search_seconds: Annotated[float, Field(gt=0, le=4)] = 3.0
    """Longest time a search, or a listing, may take; what was found by then is returned."""
    skipped_folders: tuple[str, ...] = SKIPPED_FOLDERS
    """Folders that listing and searching do not enter on their own; naming one enters it."""
    private: tuple[str, ...] = PRIVATE
    """Globs of files and folders that no file tool reads or writes. A glob without ``/`` matches one name anywhere in
    the path, one with ``/`` its last names; ``!`` takes an exception out; the last match counts; case does not."""
    preview_lines: Count = 400
    """Longest diff shown to the person who approves a write."""
    command_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Longest time a command may run."""
    command_output_bytes: Annotated[int, Field(ge=1000)] = 100_000
    """How much of a command's output is kept: its beginning and its end."""
    command_output_limit: Annotated[int, Field(ge=1000)] = 50_000_000
    """A command that writes more than this is stopped."""
    command_processes: Count = 256
    """A command that has more processes at once is stopped."""
    environment: tuple[str, ...] = ("PATH", "LANG", "LC_*", "TZ")
    """Globs of the server's environment variables that commands see. The server's own ``ISKRA_*`` are never passed."""
    shell: bool = False
    """Whether commands may use a shell at all."""
    shell_commands: tuple[str, ...] = ("*",)
    """Where a shell is allowed: globs of the command texts that may use it."""
    shell_program: str = "/bin/sh"
    """The shell, called as ``<shell> -c <command>``."""
