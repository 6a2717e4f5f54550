"""Test ``genSocket`` and ``endSocket``."""

import socket

import multicast
from multicast import skt


def test_gen_socket_returns_a_configured_unbound_socket() -> None:
    sock = skt.genSocket()
    try:
        assert type(sock) is socket.socket
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1
        assert sock.gettimeout() is socket.getdefaulttimeout() is None
        assert sock.getsockname() == ("0.0.0.0", 0)
    finally:
        skt.endSocket(sock)


def test_end_socket_called_twice_is_accepted() -> None:
    sock = multicast.genSocket()
    for _ in range(2):
        assert multicast.endSocket(sock) is None  # type: ignore[func-returns-value]
        assert sock.fileno() == -1


def test_end_socket_none_is_accepted() -> None:
    assert multicast.endSocket() is None  # type: ignore[func-returns-value]
    assert multicast.endSocket(None) is None  # type: ignore[func-returns-value]


def test_end_socket_failure_to_close_is_not_raised() -> None:
    sock = skt.genSocket()
    # Other code has closed the descriptor.
    socket.close(sock.fileno())
    assert skt.endSocket(sock) is None  # type: ignore[func-returns-value]
