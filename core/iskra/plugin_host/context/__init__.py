"""What one generation of a plugin gets from the kernel: its events, values, tasks, and views of sessions and models."""

from iskra.plugin_host.context.acquisitions import Released
from iskra.plugin_host.context.host_services import HostServices
from iskra.plugin_host.context.plugin_context import KernelContext

__all__ = ["HostServices", "KernelContext", "Released"]
