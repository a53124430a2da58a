"""Killing a process at each of its steps: every write, rename, flush and removal, and every word to the keyring."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from tests.vault.ring import FileRing
from vault.store import Store

_DONE, _KILLED, _FAILED = 0, 9, 3
_STEPS: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("replace", "rename", "link", "unlink", "fsync", "mkdir", "rmdir", "open")),
    *((FileRing, name) for name in ("set_password", "delete_password")),
    *((Store, name) for name in ("set_meta", "rekey", "close")),
)


def killed_at_each_step(action: Callable[[], object], prepare: Callable[[], object]) -> Iterator[int]:
    """Prepare, run the action in a child that dies before its nth step, and yield n; ends when the action survives."""
    for step in range(1, 500):
        prepare()
        code = _run(action, step)
        if code == _DONE:
            return
        assert code == _KILLED, f"the action failed by itself before step {step}"
        yield step
    raise AssertionError("the action never ended")


def _run(action: Callable[[], object], step: int) -> int:
    child = os.fork()
    if not child:
        code = _FAILED
        try:
            _arm(step)
            action()
            code = _DONE
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(step: int) -> None:
    left = step

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def before(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os._exit(_KILLED)
            return call(*given, **named)

        return before

    for owner, name in _STEPS:
        setattr(owner, name, counted(getattr(owner, name)))
