"""Takes from a worker process what its node has no need for: files by Landlock, the network by seccomp.

Both bind the process and its children for good, and are there on Linux only. What they cannot hold is an
error, never left out.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/landlock.h
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
FIRST_ABI = (1 << 13) - 1
REFER, TRUNCATE = 1 << 13, 1 << 14
ABI_REFER, ABI_TRUNCATE, ABI_SCOPES = 2, 3, 6
SCOPES = 0b11  # abstract sockets of others, signals to others
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
OWN = os.path.dirname(os.path.realpath(__file__))
SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/dev/urandom")

# linux/prctl.h, seccomp.h, filter.h
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
AF_UNIX = 1
X32 = 0x40000000
# By machine: its number for auditing; socket; and by which a filter could be gone around: ptrace,
# process_vm_readv, process_vm_writev, io_uring_setup, pidfd_getfd.
MACHINES = {
    "x86_64": (0xC000003E, 41, (101, 310, 311, 425, 438)),
    "aarch64": (0xC00000B7, 198, (117, 270, 271, 425, 438)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _never_more(libc: ctypes.CDLL) -> None:
    _check(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def files(paths: Iterable[str]) -> None:
    """Lets the process use these files and folders, and read what Python imports from. Nothing else.

    Parameters
    ----------
    paths : iterable of str
        Files and folders; a folder with all that is in it.

    Raises
    ------
    OSError
        The system has no Landlock, or one of the paths is not there.
    """
    libc = _libc()
    abi = _check(libc.syscall(CREATE_RULESET, None, 0, VERSION_FLAG), "this system has no Landlock")
    every = FIRST_ABI | (REFER if abi >= ABI_REFER else 0) | (TRUNCATE if abi >= ABI_TRUNCATE else 0)
    attributes = pack("<Q", every)
    if abi >= ABI_SCOPES:
        attributes = pack("<QQQ", every, 0, SCOPES)
    rules = _check(libc.syscall(CREATE_RULESET, attributes, len(attributes), 0), "Landlock")
    try:
        for path in {*SYSTEM, sys.prefix, sys.base_prefix, OWN, *sys.path}:
            if path and os.path.exists(path):
                _add(libc, rules, path, EXECUTE | READ_FILE | READ_DIR)
        for path in (*paths, os.devnull):
            _add(libc, rules, path, every)
        _never_more(libc)
        _check(libc.syscall(RESTRICT_SELF, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _add(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    if not os.path.isdir(path):
        access &= OF_FILES
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = pack("<Qi", access, fd)
        _check(libc.syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0), f"Landlock, {path}")
    finally:
        os.close(fd)


def no_network() -> None:
    """Lets the process make no sockets but local ones, and look into no other process.

    Raises
    ------
    OSError
        The system cannot, or what it runs on is neither x86-64 nor aarch64.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(f"no filter of system calls is known for {platform.machine()}")
    audit, socket, others = machine
    # Each row: code, how many to skip if so, if not, value. The last two are REFUSE and ALLOW.
    rows = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, audit), (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, 0)]
    rows.append((AT_LEAST, len(others) + 3, 0, X32))
    for left, number in enumerate(reversed(others)):
        rows.insert(5, (EQUAL, left + 3, 0, number))
    rows += [
        (EQUAL, 0, 3, socket),
        (LOAD, 0, 0, 16),
        (EQUAL, 1, 0, AF_UNIX),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    text = b"".join(pack("<HBBI", *row) for row in rows)
    libc = _libc()
    _never_more(libc)
    program = _Program(len(rows), text)
    _check(libc.prctl(SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0), "seccomp")
