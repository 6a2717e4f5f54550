"""Take abilities of the kernel away from this process, as a sandbox or an older kernel does (Linux)."""

import ctypes
import errno
import os
import platform
import socket
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF_0000
_ERRNO = 0x0005_0000
_SYSTEM_CALLS = {"x86_64": {"socket": 41, "sendto": 44, "setsockopt": 54, "getsockopt": 55}}
_SYSTEM_CALLS["aarch64"] = {"socket": 198, "sendto": 206, "setsockopt": 208, "getsockopt": 209}
# Instructions of classic BPF (linux/filter.h): load a word, jump if equal, return.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
# Offsets in struct seccomp_data: the number of the call; the lower half of each argument.
_NUMBER, _ARGUMENTS = 0, 16
UDP_SEGMENT = 103


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_netlink() -> None:
    """Make every later ``socket(AF_NETLINK, ...)`` of this process fail, as ``RestrictAddressFamilies=`` does."""
    _forbid("socket", {0: socket.AF_NETLINK}, errno.EAFNOSUPPORT)


def forbid_requests(error: int) -> None:
    """Make every later request to the kernel on an open routing socket of this process fail with ``error``.

    This forbids ``sendto()``, and so does not suit a process that sends datagrams.
    """
    _forbid("sendto", {}, error)


def forbid_socket_option(level: int, name: int) -> None:
    """Make this process's kernel lack a socket option: it can neither be set nor read."""
    for call in ("setsockopt", "getsockopt"):
        _forbid(call, {1: level, 2: name}, errno.ENOPROTOOPT)


def _forbid(call: str, arguments: dict[int, int], error: int) -> None:
    """Make every later system call with these arguments, by position, fail with ``error``."""
    wanted = [(_NUMBER, _SYSTEM_CALLS[platform.machine()][call])]
    wanted += [(_ARGUMENTS + 8 * position, value) for position, value in arguments.items()]
    instructions: list[tuple[int, int, int, int]] = []
    for number, (offset, value) in enumerate(wanted):
        instructions.append((_LOAD, 0, 0, offset))
        # If it differs, jump over the other comparisons and over the refusal.
        instructions.append((_JUMP_IF_EQUAL, 0, 2 * (len(wanted) - number - 1) + 1, value))
    instructions += [(_RETURN, 0, 0, _ERRNO | error), (_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    program = _Program(len(instructions), code)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))


def _prctl(option: int, value: int, argument: object = None) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), argument or ctypes.c_ulong(0), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
