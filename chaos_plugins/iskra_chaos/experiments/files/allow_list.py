"""What an experiment may do: which code, hosts and programs its file can ask for."""

from collections.abc import Iterable, Sequence

import httpx

from iskra_chaos.experiments.errors import ActivityError, ActivityRefusedError
from iskra_chaos.experiments.files.document import Activity, Experiment, HttpProvider, PythonProvider
from iskra_chaos.experiments.files.variables import Variables

OWN_PROBES = "iskra_chaos.experiments.probes"

_PORTS = {"http": 80, "https": 443}


class AllowList:
    """Decides about an experiment file that may come from anywhere.

    Args:
        modules: Python modules whose functions may be called, besides our own probes. A module stands for itself
            and everything below it.
        hosts: Where requests may go: ``name``, which is any port, or ``name:port``.
        processes: Whether programs may be started.
    """

    def __init__(self, modules: Iterable[str] = (), hosts: Iterable[str] = (), *, processes: bool = False) -> None:
        self._modules = frozenset({OWN_PROBES, *modules})
        self._hosts = frozenset(host.lower() for host in hosts)
        self._processes = processes

    def with_host_of(self, url: str) -> "AllowList":
        """Return a list that also allows requests to the server at this address."""
        return AllowList(self._modules, {*self._hosts, _host_and_port(httpx.URL(url))}, processes=self._processes)

    def check(self, experiment: Experiment, variables: Variables) -> None:
        """Refuse the whole experiment if any part of it, also an unlikely one, may not run.

        Raises:
            ActivityRefusedError: With every reason.
        """
        refusals = (self._refusal(activity, variables) for activity in experiment.activities())
        if refused := list(dict.fromkeys(refusal for refusal in refusals if refusal)):
            raise ActivityRefusedError(refused)

    def check_activity(self, activity: Activity, variables: Variables) -> None:
        """Look again right before an activity runs: by now its variables may have other values.

        Raises:
            ActivityError: It may not run.
        """
        if refusal := self._refusal(activity, variables, is_final=True):
            raise ActivityError(f"{refusal}.")

    def check_address(self, url: httpx.URL) -> None:
        """Check where a request, possibly a redirected one, is going.

        Raises:
            ActivityError: It may not go there.
        """
        if not self._allows(url):
            raise ActivityError(f"Requests to {_host_and_port(url)} are not allowed.")

    def _allows(self, url: httpx.URL) -> bool:
        return url.scheme in _PORTS and not {url.host.lower(), _host_and_port(url)}.isdisjoint(self._hosts)

    def _refusal(self, activity: Activity, variables: Variables, *, is_final: bool = False) -> str:
        provider = activity.provider
        if isinstance(provider, PythonProvider):
            parts = provider.module.split(".")
            if not self._modules.isdisjoint(_ancestors(parts)):
                return ""
            return f"{activity.name!r} calls {provider.module}.{provider.func}, a module that is not allowed"
        if isinstance(provider, HttpProvider):
            return self._address_refusal(activity.name, str(variables.fill(provider.url)), is_final=is_final)
        return "" if self._processes else f"{activity.name!r} starts the program {provider.path!r}"

    def _address_refusal(self, name: str, address: str, *, is_final: bool) -> str:
        if "${" in address and not is_final:
            # A probe of the configuration fills it later; the address is checked again before it is used.
            return ""
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            return f"{name!r} sends a request to something that is no address"
        if self._allows(url):
            return ""
        return f"{name!r} sends a request to {_host_and_port(url) or 'no host'}, which is not allowed"


def _ancestors(parts: Sequence[str]) -> set[str]:
    return {".".join(parts[: length + 1]) for length in range(len(parts))}


def _host_and_port(url: httpx.URL) -> str:
    port = url.port or _PORTS.get(url.scheme)
    return f"{url.host.lower()}:{port}" if url.host else ""
