"""Take netlink away from this process, as systemd's ``RestrictAddressFamilies=`` does (Linux)."""

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
# The number of socket(2).
_SOCKET = {"x86_64": 41, "aarch64": 198}
# Instructions of classic BPF (linux/filter.h): load a word, jump if equal, return.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
# Offsets in struct seccomp_data.
_NUMBER, _FIRST_ARGUMENT = 0, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_netlink() -> None:
    """Make every later ``socket(AF_NETLINK, ...)`` of this process fail with EAFNOSUPPORT, for good."""
    instructions = [
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, _SOCKET[platform.machine()]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    program = _Program(len(instructions), code)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))


def _prctl(option: int, value: int, argument: object = None) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), argument or ctypes.c_ulong(0), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
