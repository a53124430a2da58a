"""The harness itself: it sees every call, its faults are real, and it would notice a careless program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import calls, campaigns, careless, places, zygote
from tests.faults.campaign import plain, settle
from tests.faults.running import Fault, Keyferry, Kind, Ran

OLD = b"old " * 900
CARELESS = Path(careless.__file__)
KILLS = [kind for kind in Kind if kind.kills]


@pytest.fixture
def root() -> Iterator[Path]:
    if not places.is_possible():
        pytest.skip(places.NEEDS)
    with places.place() as folder:
        (folder / "root" / "tmp").mkdir(parents=True)
        yield folder / "root"


@pytest.fixture
def writer(root: Path) -> Iterator[Keyferry]:
    """A program that writes a file."""
    with Keyferry(root, CARELESS) as found:
        yield found


def written(writer: Keyferry, how: str, fault: Fault | None) -> tuple[Ran, bytes]:
    """Let the program write over an old file; returns how it ended and what is there then."""
    path = writer.root / "folder" / "file"
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    path.write_bytes(OLD)
    ran = writer.counted(how, path) if fault is None else writer.struck(fault, how, path)
    return ran, path.read_bytes()


def noticed(writer: Keyferry, how: str) -> set[Kind]:
    """Return the faults after which the file is neither old nor new, or old though the program said it was done."""
    made = len(written(writer, how, None)[0].calls)
    found = set()
    for kind in KILLS:
        for at in range(1, made + 2):
            ran, content = written(writer, how, Fault(kind, at))
            allowed = {careless.NEW} if ran.out else {OLD, careless.NEW}
            if content not in allowed:
                found.add(kind)
    return found


@pytest.mark.parametrize(
    ("how", "by"),
    [
        ("in_place", set(KILLS)),
        ("unflushed", {Kind.CUT, Kind.CUT_EARLY}),
        ("folder_unflushed", {Kind.CUT_EARLY}),
        ("careful", set()),
    ],
)
def test_a_careless_program_is_noticed(writer: Keyferry, how: str, by: set[Kind]) -> None:
    assert noticed(writer, how) == by


@pytest.mark.parametrize("kind", Kind)
def test_a_fault_is_real(writer: Keyferry, kind: Kind) -> None:
    ran, content = written(writer, "in_place", Fault(kind, 2))
    assert ran.met is not None
    assert (ran.met.name, Path(ran.met.path).name) == ("write", "file")
    if kind.kills:
        assert ran.code == -9
        assert len(ran.calls) == 2
        assert content == {Kind.TORN: careless.NEW[:1000], Kind.CUT: OLD, Kind.CUT_EARLY: OLD}.get(kind, b"")
    else:
        assert ran.code == 1
        assert ("No space left" if "ENOSPC" in kind.value else "Input/output error") in ran.err
        assert content == b""


def test_the_calls_are_numbered_in_their_order(writer: Keyferry) -> None:
    ran, _ = written(writer, "careful", None)
    assert [call.operation for call in ran.calls] == ["create", "write", "fsync", "rename", "fsync"]


@pytest.fixture
def home(root: Path) -> Iterator[Keyferry]:
    """A home where a backup is due."""
    (root / "user").mkdir()
    with Keyferry(root) as found:
        campaigns.BACKUP.prepare(found)
        found(*campaigns.create(found))
        settle()
        yield found


def again(keyferry: Keyferry, saved: Path) -> None:
    """Put a folder back."""
    shutil.rmtree(keyferry.root)
    shutil.copytree(saved, keyferry.root, symlinks=True)


def test_a_program_started_anew_makes_the_same_calls(home: Keyferry, tmp_path: Path) -> None:
    shutil.copytree(home.root, tmp_path / "saved", symlinks=True)
    warm = home.counted("backup", "create")
    again(home, tmp_path / "saved")
    fresh = home.counted("backup", "create", fresh=True)
    assert (warm.code, fresh.code) == (0, 0)
    assert [(call.name, plain(call)) for call in warm.calls] == [(call.name, plain(call)) for call in fresh.calls]


def test_another_tracer_sees_the_same_calls(home: Keyferry, tmp_path: Path) -> None:
    """``strace`` watches the same command in a way of its own."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    shutil.copytree(home.root, tmp_path / "saved", symlinks=True)
    ours = [call.name for call in home.counted("backup", "create").calls]
    again(home, tmp_path / "saved")
    theirs = traced(home, tmp_path / "trace")
    assert ours == theirs


def traced(keyferry: Keyferry, out: Path) -> list[str]:
    """Return the names of the calls that strace sees on files below the root."""
    names = ",".join(f"?{name}" for name in calls.NAMES)
    typed = [sys.executable, str(zygote.ROOT / "keyferry.py"), "backup", "create"]
    command = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", str(out), "-e", f"trace={names}", *typed]
    done = subprocess.run(command, env=keyferry.environment, cwd=keyferry.root, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = []
    for line in out.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        assert call, line
        opens = call[1] in ("open", "openat", "openat2")
        if str(keyferry.root) in call[2] and not (opens and not re.search(r"O_CREAT|O_TRUNC", call[2])):
            found.append(call[1])
    return found
