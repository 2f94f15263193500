"""What a plugin's context asks of the plugin host."""

from typing import Protocol, TypeVar

from iskra.plugin_host.facilities import Facilities, InterceptorSlot
from iskra.plugin_host.leases import Lease
from iskra_sdk.interceptor import Point

T = TypeVar("T")


class HostServices(Protocol):
    """What a context asks of the plugin host."""

    facilities: Facilities

    def lease(self) -> Lease: ...

    def record_failure(self, plugin: str, error: BaseException) -> None: ...

    def provide(self, plugin: str, protocol: type, service: object) -> None: ...

    def withdraw(self, protocol: type, service: object) -> None: ...

    def service(self, protocol: type[T]) -> T | None: ...

    async def refresh(self, plugin: str) -> None: ...

    def slot(self, point: Point) -> InterceptorSlot: ...
