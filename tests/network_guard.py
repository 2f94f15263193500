"""Keeps the tests on this machine.

The guard is an audit hook of the interpreter and sees every Python socket of the process, in every thread. It does not
see child processes, nor sockets that C code opens by itself (libuv, SQL drivers in C).
"""

import ipaddress
import socket
import sys

_LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost"})


class ForeignNetworkError(Exception):
    """A test tried to reach another machine."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Tests may not leave this machine, but something tried to reach {host!r}. "
            "Start a server on 127.0.0.1, or hand the code a fake."
        )
        self.host = host


class NetworkGuard:
    """Refuses connections, datagrams and name look-ups that leave the machine, and remembers what it refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def install(self) -> None:
        """Watch this process until it ends; an audit hook cannot be taken out."""
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[object, ...]) -> None:
        if not event.startswith("socket."):
            return
        try:
            check_socket_event(event, args)
        except ForeignNetworkError as error:
            self.refused.append(error.host)
            raise


def check_socket_event(event: str, args: tuple[object, ...]) -> None:
    """Judge one audit event of the socket module.

    Raises:
        ForeignNetworkError: The event would send something to another machine.
        socket.gaierror: A name below ``.invalid`` was looked up; such names never exist (RFC 6761).
    """
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        sock, address = args[0], args[1]
        if not isinstance(sock, socket.SocketType) or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host = address[0] if isinstance(address, tuple) else None
    else:
        return
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if not isinstance(name, str):
        return
    name = name.lower().rstrip(".")
    if name.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if not _is_this_machine(name, may_resolve=event == "socket.getaddrinfo"):
        raise ForeignNetworkError(name)


def _is_this_machine(name: str, *, may_resolve: bool) -> bool:
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    # Turning a literal address into a socket address sends nothing.
    if may_resolve:
        return True
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped if mapped is not None else address
    return address.is_loopback or address.is_unspecified
