"""The system calls that change files, stopped by the kernel before each of them.

A process asks the kernel (seccomp, user notification) to ask its watcher before every call that writes, flushes, makes,
renames or removes. The watcher sees the call's name and paths while nothing of it has happened yet, and answers: go on,
or an error instead of the call. Opening for reading and all other calls cost nothing. Calls through memory maps are not
seen; SQLite's shared index is the only one, and it is made anew after every ending.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

# call: (what it does, where its file is, number on x86_64, number on aarch64); a place is "fd" or "at" or "path" with
# the number of the argument, and a renaming has two of them.
_CALLS: dict[str, tuple[str, tuple[str, ...], int | None, int | None]] = {
    "write": ("write", ("fd0",), 1, 64),
    "pwrite64": ("write", ("fd0",), 18, 68),
    "writev": ("write", ("fd0",), 20, 66),
    "pwritev": ("write", ("fd0",), 296, 70),
    "pwritev2": ("write", ("fd0",), 328, 287),
    "sendfile": ("write", ("fd0",), 40, 71),
    "copy_file_range": ("write", ("fd2",), 326, 285),
    "fallocate": ("write", ("fd0",), 285, 47),
    "ftruncate": ("truncate", ("fd0",), 77, 46),
    "truncate": ("truncate", ("path0",), 76, 45),
    "fsync": ("fsync", ("fd0",), 74, 82),
    "fdatasync": ("fsync", ("fd0",), 75, 83),
    "sync_file_range": ("fsync", ("fd0",), 277, 84),
    "open": ("create", ("path0",), 2, None),
    "creat": ("create", ("path0",), 85, None),
    "openat": ("create", ("at0",), 257, 56),
    "openat2": ("create", ("at0",), 437, 437),
    "mkdir": ("mkdir", ("path0",), 83, None),
    "mkdirat": ("mkdir", ("at0",), 258, 34),
    "symlink": ("link", ("path1",), 88, None),
    "symlinkat": ("link", ("at1",), 266, 36),
    "link": ("link", ("path0", "path1"), 86, None),
    "linkat": ("link", ("at0", "at2"), 265, 37),
    "rename": ("rename", ("path0", "path1"), 82, None),
    "renameat": ("rename", ("at0", "at2"), 264, 38),
    "renameat2": ("rename", ("at0", "at2"), 316, 276),
    "unlink": ("unlink", ("path0",), 87, None),
    "unlinkat": ("unlink", ("at0",), 263, 35),
    "rmdir": ("unlink", ("path0",), 84, None),
    "chmod": ("chmod", ("path0",), 90, None),
    "fchmod": ("chmod", ("fd0",), 91, 52),
    "fchmodat": ("chmod", ("at0",), 268, 53),
    "fchmodat2": ("chmod", ("at0",), 452, 452),
}
OPERATIONS = tuple(dict.fromkeys(operation for operation, *_ in _CALLS.values()))
NAMES = tuple(_CALLS)
_OPENS = {"open": 1, "openat": 2}  # the argument that holds the flags
_MAKING = os.O_CREAT | os.O_TRUNC

_MACHINES = {"x86_64": (2, 0xC000003E, 317), "aarch64": (3, 0xC00000B7, 277)}  # column, name for seccomp, its number
_MACHINE = _MACHINES.get(platform.machine())

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_SET_FILTER, _NEW_LISTENER, _NO_NEW_PRIVILEGES = 1, 8, 38
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_ASKED, _ANSWER, _GO_ON = struct.Struct("QIIiIQ6Q"), struct.Struct("QqiI"), 1
_AT_CWD = 0xFFFFFF9C
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is about to happen: its name, what it does, and its paths, a renaming's target last."""

    name: str
    operation: str
    paths: tuple[str, ...]
    id: int
    thread: int
    arguments: tuple[int, ...]

    @property
    def path(self) -> str:
        """The file that is written, made or removed."""
        return self.paths[-1]

    @property
    def is_halvable(self) -> bool:
        """Whether the first half of it can be done alone."""
        return self.name in ("write", "pwrite64") and self.arguments[2] > 1


def is_possible() -> bool:
    """Tell whether this system lets a process be watched."""
    if _MACHINE is None:
        return False
    child = os.fork()
    if not child:
        try:
            os._exit(0 if watch_me() >= 0 else 1)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def watch_me() -> int:
    """Let whoever holds the returned handle decide on this process's calls, its children's included, for good."""
    assert _MACHINE is not None, platform.machine()
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(_program(_MACHINE[0], _MACHINE[1]))
    body = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(body))
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the process cannot give up new rights")
    handle: int = libc.syscall(_MACHINE[2], _SET_FILTER, _NEW_LISTENER, ctypes.c_char_p(program))
    if handle < 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let calls be watched")
    return handle


def _program(column: int, machine: int) -> list[bytes]:
    numbers = {name: number for name, entry in _CALLS.items() if isinstance(number := entry[column], int)}
    steps = [_step(_LOAD, 4), _step(_EQUAL, machine, 1, 0), _step(_RETURN, _ALLOW), _step(_LOAD, 0)]
    for name, number in numbers.items():
        if name in _OPENS:
            flags = 16 + 8 * _OPENS[name]
            steps += [_step(_EQUAL, number, 0, 4), _step(_LOAD, flags), _step(_ANY_BIT, _MAKING, 0, 1)]
            steps += [_step(_RETURN, _ASK), _step(_RETURN, _ALLOW)]
        else:
            steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ASK)]
    return [*steps, _step(_RETURN, _ALLOW)]


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def receive(handle: int) -> Call | None:
    """Return the call that waits for an answer, or None if its process has just died."""
    asked = bytearray(_ASKED.size)
    try:
        fcntl.ioctl(handle, _RECEIVE, asked)
    except OSError:
        return None
    id_, thread, _, number, _, _, *arguments = _ASKED.unpack(asked)
    name = _named(number)
    operation, places, *_ = _CALLS[name]
    try:
        paths = tuple(_path(thread, place, arguments) for place in places)
    except OSError:
        paths = ("",) * len(places)
    return Call(name, operation, paths, id_, thread, tuple(arguments))


def go_on(handle: int, call: Call) -> None:
    """Let the call happen."""
    _answer(handle, call, 0, _GO_ON)


def refuse(handle: int, call: Call, error: int) -> None:
    """Let the call fail with that error; nothing of it happens."""
    _answer(handle, call, -error, 0)


def _answer(handle: int, call: Call, error: int, flags: int) -> None:
    try:
        fcntl.ioctl(handle, _SEND, _ANSWER.pack(call.id, 0, error, flags))
    except FileNotFoundError:  # the process has died meanwhile
        return


def half_done(call: Call) -> bool:
    """Do the first half of a writing in the caller's place; False if the call has no halves."""
    if not call.is_halvable:
        return False
    number, address, size, position = call.arguments[:4]
    with open(f"/proc/{call.thread}/mem", "rb", buffering=0) as memory:
        data = os.pread(memory.fileno(), size // 2, address)
    if call.name == "write":
        with open(f"/proc/{call.thread}/fdinfo/{number}") as facts:
            position = int(facts.readline().split()[1])
    handle = os.open(f"/proc/{call.thread}/fd/{number}", os.O_WRONLY)
    try:
        os.pwrite(handle, data, position)
    finally:
        os.close(handle)
    return True


def _named(number: int) -> str:
    assert _MACHINE is not None
    return next(name for name, entry in _CALLS.items() if entry[_MACHINE[0]] == number)


def _path(thread: int, place: str, arguments: list[int]) -> str:
    kind, index = place[:-1], int(place[-1])
    if kind == "fd":
        return os.readlink(f"/proc/{thread}/fd/{arguments[index] & 0xFFFFFFFF}").removesuffix(" (deleted)")
    name = _text(thread, arguments[index + (kind == "at")])
    if name.startswith("/"):
        return os.path.normpath(name)
    folder = arguments[index] & 0xFFFFFFFF if kind == "at" else _AT_CWD
    start = f"/proc/{thread}/cwd" if folder == _AT_CWD else f"/proc/{thread}/fd/{folder}"
    return os.path.normpath(Path(os.readlink(start)) / name)


def _text(thread: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        data = os.pread(memory.fileno(), _LONGEST, address)
    return os.fsdecode(data.partition(b"\0")[0])
