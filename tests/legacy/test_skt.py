"""``genSocket`` and ``endSocket``."""

import socket

import multicast
from multicast import skt


def test_a_socket_is_set_up_and_unbound() -> None:
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


def test_a_closed_socket_can_be_ended_again() -> None:
    sock = multicast.genSocket()
    for _ in range(2):
        assert multicast.endSocket(sock) is None  # type: ignore[func-returns-value]
        assert sock.fileno() == -1


def test_no_socket_can_be_ended() -> None:
    assert multicast.endSocket() is None  # type: ignore[func-returns-value]
    assert multicast.endSocket(None) is None  # type: ignore[func-returns-value]


def test_a_failure_to_close_is_not_raised() -> None:
    sock = skt.genSocket()
    # Somebody else has closed the descriptor behind the socket's back.
    socket.close(sock.fileno())
    assert skt.endSocket(sock) is None  # type: ignore[func-returns-value]
