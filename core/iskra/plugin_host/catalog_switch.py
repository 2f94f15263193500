"""The generations in service: which catalog is current, who still uses an older one, and how old ones go."""

import asyncio
import contextlib
import dataclasses
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from iskra.plugin_host.catalog import Catalog
from iskra.plugin_host.catalog_builder import build_catalog
from iskra.plugin_host.facilities import Facilities, InterceptorPoints
from iskra.plugin_host.generation import Generation, Remains
from iskra.plugin_host.known_plugin import KnownPlugin
from iskra.plugin_host.leases import Lease, LeasedCatalog
from iskra.plugin_host.receipt import Receipt, Verdict
from iskra_sdk.errors import PluginConflictError

logger = logging.getLogger(__name__)

T = TypeVar("T")

PARK_PATIENCE = 10.0
"""Seconds that parked turns get to let go."""
_RECEIPT_PATIENCE = 0.25  # seconds a change waits for the old generation to be gone, to return a complete receipt


class CatalogSwitch:
    """Swaps generations in and out, and disposes of the old ones once nobody uses them.

    Args:
        points: Where interceptors are put at each swap.
        facilities: Parts of the kernel; ``park`` is asked to move turns off an old generation.
        drain_deadline: Seconds that users of an old generation get before they are parked.
    """

    def __init__(self, points: InterceptorPoints, facilities: Facilities, drain_deadline: float) -> None:
        self._points = points
        self._facilities = facilities
        self._drain_deadline = drain_deadline
        self._current = LeasedCatalog(Catalog(), self._catalog_idle)
        self._members: dict[LeasedCatalog, list[Generation]] = {}  # of catalogs that are not current any more
        self._idle: dict[Generation, asyncio.Event] = {}
        self._services: dict[type, tuple[str, object]] = {}
        self._callbacks: list[Callable[[Catalog], None]] = []
        self.jobs: set[asyncio.Task[Any]] = set()
        """What goes on beside the changes; the host waits for it when it closes."""

    @property
    def catalog(self) -> Catalog:
        """What the running plugins offer now."""
        return self._current.catalog

    def lease(self) -> Lease:
        """Return a lease on the current catalog."""
        return Lease(self._current)

    def on_swap(self, callback: Callable[[Catalog], None]) -> None:
        """Have ``callback`` called with the new catalog at each swap, before anybody can lease it."""
        self._callbacks.append(callback)

    # Services -----------------------------------------------------------------------------------------------------

    def service(self, protocol: type[T]) -> T | None:
        """Return what a running plugin offers under a protocol."""
        found = self._services.get(protocol)
        return None if found is None else cast("T", found[1])

    def provide(self, plugin: str, protocol: type, service: object) -> None:
        """Put a plugin's service into service if nobody offers one.

        Raises:
            PluginConflictError: Another plugin does.
        """
        holder = self._services.get(protocol)
        if holder is not None and holder[0] != plugin:
            raise PluginConflictError(
                plugin,
                f"the plugin {holder[0]!r} already offers {protocol.__name__}.",
                mend="Disable one of them.",
            )
        if holder is None:
            self._services[protocol] = (plugin, service)

    def withdraw(self, protocol: type, service: object) -> None:
        """Take a service back, unless another generation offers its own by now."""
        holder = self._services.get(protocol)
        if holder is not None and holder[1] is service:
            del self._services[protocol]

    # Swapping -----------------------------------------------------------------------------------------------------

    def swap(
        self,
        running: Sequence[Generation],
        *,
        out: Sequence[Generation],
        into: Generation | None = None,
        changed: Generation | None = None,
    ) -> None:
        """Make a new catalog current, all at once.

        Args:
            running: The generations in service, and ``into``, in the order of their plugins.
            out: Those that leave.
            into: The one that comes.
            changed: One that stays and offers something else than before.

        Raises:
            PluginConflictError: ``into`` or ``changed`` claims a name that another plugin holds; nothing is changed.
        """
        staying = [generation for generation in running if generation not in out]
        catalog = build_catalog(staying, newest=into or changed)
        old, new = self._current, LeasedCatalog(catalog, self._catalog_idle)
        for generation in staying:
            generation.holders += 1
        for generation in out:
            self._idle[generation] = asyncio.Event()
            generation.take_out_of_service()
        if into is not None:
            for protocol, service in into.services.items():
                self._services[protocol] = (into.name, service)
            into.put_in_service()
        self._points.rebuild(catalog.interceptors)
        self._current = new
        old.is_current = False
        self._members[old] = [*(generation for generation in staying if generation is not into), *out]
        for callback in self._callbacks:
            try:
                callback(catalog)
            except Exception:
                logger.exception("a callback failed at the swap of plugins")
        if old.leases == 0:
            self._catalog_idle(old)

    def _catalog_idle(self, old: LeasedCatalog) -> None:
        """Let go of a catalog that is not current and that nobody uses any more."""
        for generation in self._members.pop(old, ()):
            generation.holders -= 1
            if generation.holders == 0 and (event := self._idle.get(generation)) is not None:
                event.set()

    def users(self, generation: Generation) -> int:
        """Return how many leases keep a generation that is out of service."""
        return sum(old.leases for old in self._holding(generation))

    def _holding(self, generation: Generation) -> list[LeasedCatalog]:
        return [old for old, members in self._members.items() if generation in members]

    # Draining -----------------------------------------------------------------------------------------------------

    def start_draining(self, plugin: KnownPlugin, generation: Generation, receipt: Receipt) -> None:
        """Drain a generation in a task of its own; see :meth:`drain`."""
        self.own(self.drain(plugin, generation, receipt), _drain_name(plugin, generation.number))

    def release_at_once(self, generation: Generation) -> None:
        """Count a generation as unused: the turns have ended before the plugins go."""
        self._idle[generation].set()

    async def drain(self, plugin: KnownPlugin, generation: Generation, receipt: Receipt) -> None:
        """Wait until nobody uses a generation, dispose of it, and complete the receipt."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        idle = self._idle[generation]
        parked = 0
        try:
            async with asyncio.timeout(self._drain_deadline):
                await idle.wait()
        except TimeoutError:
            parked = await self._park(generation, idle)
        remains = await _dispose(generation)
        self._idle.pop(generation, None)
        complete = dataclasses.replace(
            receipt,
            drain_seconds=loop.time() - began,
            turns_drained=max(0, receipt.turns_drained - parked),
            turns_parked=parked,
            released=remains.released,
            leaked=remains.leaked,
            kept_modules=remains.kept_modules,
            verdict=remains.verdict,
        )
        plugin.has_gone(generation, remains.module)
        with contextlib.suppress(ValueError):
            plugin.receipts[plugin.receipts.index(receipt)] = complete
        logger.log(
            logging.INFO if complete.verdict is Verdict.CLEAN else logging.WARNING,
            "plugin generation gone",
            extra={
                "plugin": plugin.name,
                "generation": generation.number,
                "verdict": complete.verdict.value,
                "leaked": sorted(complete.leaked),
            },
        )

    async def _park(self, generation: Generation, idle: asyncio.Event) -> int:
        """Ask those who still use a generation to go on with the current one; return how many there were."""
        holding, users = self._holding(generation), self.users(generation)
        if self._facilities.park is None:
            return users
        for old in holding:
            try:
                waiting = self._facilities.park(old.catalog)
                if inspect.isawaitable(waiting):
                    async with asyncio.timeout(PARK_PATIENCE):
                        await waiting
            except TimeoutError:
                logger.warning("turns did not leave an old plugin generation in time")
            except Exception:
                logger.exception("parking turns failed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARK_PATIENCE):
                await idle.wait()
        return users

    async def completed(self, plugin: KnownPlugin, receipt: Receipt) -> Receipt:
        """Wait a moment for the old generation to go, and return the receipt as complete as it is then."""
        name = _drain_name(plugin, receipt.old_generation)
        jobs = [job for job in self.jobs if job.get_name() == name]
        if jobs:
            await asyncio.wait(jobs, timeout=_RECEIPT_PATIENCE)
        for newest in plugin.newest_receipts():
            if (newest.old_generation, newest.new_generation) == (receipt.old_generation, receipt.new_generation):
                return newest
        return receipt

    # Jobs ---------------------------------------------------------------------------------------------------------

    def own(self, job: Any, name: str) -> None:
        """Run a coroutine beside the changes; what it raises is logged."""
        task = asyncio.create_task(job, name=name)
        self.jobs.add(task)
        task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[Any]) -> None:
        self.jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a job of the plugin host failed", extra={"job": task.get_name()}, exc_info=error)

    async def finish_jobs(self) -> None:
        """Wait for all jobs, then cancel those that are left."""
        pending = {job for job in self.jobs if job is not asyncio.current_task()}
        if not pending:
            return
        _, late = await asyncio.wait(pending, timeout=PARK_PATIENCE * 2)
        for job in late:
            job.cancel()
        if late:
            await asyncio.wait(late, timeout=PARK_PATIENCE)


def _drain_name(plugin: KnownPlugin, generation: int) -> str:
    return f"drain {plugin.name} {generation}"


async def _dispose(generation: Generation) -> Remains:
    try:
        return await generation.dispose()
    except Exception as exc:
        logger.exception("disposing of a plugin generation failed", extra={"plugin": generation.name})
        return Remains({}, {"stuck": (type(exc).__name__,)}, (), Verdict.LEAKY, None)
