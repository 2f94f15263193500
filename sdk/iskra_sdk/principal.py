"""Who is asking, and what they may do."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from iskra_sdk.errors import PermissionDeniedError


@dataclass(frozen=True, slots=True)
class PermissionSpec:
    """A permission a plugin adds, e.g. ``PermissionSpec("weather:read", "See forecasts.")``."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated user on whose behalf something happens.

    Attributes:
        id: Stable user id; owner of what it creates.
        name: For people to read.
        permissions: Granted permissions; ``*`` and globs such as ``sessions:*`` are allowed.
        claims: What is known of how they proved who they are, e.g. ``mfa`` for a second factor. Whoever issues the
            credential says so; a request cannot.
    """

    id: str
    name: str = ""
    permissions: frozenset[str] = field(default_factory=frozenset)
    claims: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_admin(self) -> bool:
        """Whether everything is permitted."""
        return "*" in self.permissions

    def may(self, permission: str) -> bool:
        """Return whether ``permission`` is granted, directly or by a glob."""
        granted = self.permissions
        return "*" in granted or permission in granted or any(fnmatchcase(permission, glob) for glob in granted)

    def require(self, permission: str) -> None:
        """Raise unless ``permission`` is granted.

        Raises:
            PermissionDeniedError: The permission is not granted.
        """
        if not self.may(permission):
            raise PermissionDeniedError(
                f"This needs the permission {permission!r}, which {self.name or self.id!r} does not have.",
                mend="Ask an admin to grant it.",
                facts={"permission": permission},
            )


SYSTEM = Principal(id="system", name="Iskra itself", permissions=frozenset({"*"}))
"""The kernel acting on its own account: recovery, timeouts, plugins' background work."""
