import socket
from collections.abc import Iterator

import pytest

from network_guard import ForeignNetworkError, check_socket_event


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        yield sock


@pytest.mark.parametrize("host", ["192.0.2.1", "8.8.8.8", "example.com", "2001:db8::1", "::ffff:8.8.8.8"])
def test_a_connection_to_another_machine_is_refused(tcp: socket.socket, host: str) -> None:
    with pytest.raises(ForeignNetworkError, match="may not leave this machine"):
        check_socket_event("socket.connect", (tcp, (host, 80)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "::ffff:127.0.0.1"])
def test_a_connection_to_this_machine_is_let_through(tcp: socket.socket, host: str) -> None:
    check_socket_event("socket.connect", (tcp, (host, 80)))


def test_a_unix_socket_is_let_through() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        check_socket_event("socket.connect", (sock, "/run/example.sock"))


def test_a_datagram_to_another_machine_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(ForeignNetworkError):
        check_socket_event("socket.sendto", (sock, ("192.0.2.1", 53)))


def test_looking_up_a_foreign_name_is_refused() -> None:
    with pytest.raises(ForeignNetworkError):
        check_socket_event("socket.getaddrinfo", ("example.com", 80, 0, 0, 0))


def test_the_guard_is_installed_and_names_below_invalid_do_not_exist() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("upstream.invalid", 80)


def test_a_listening_socket_on_loopback_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
