"""Every job of the table beside its floor: ``python -m benchmarks [--quick]``.

A new process per run, the vault on disk with synchronous FULL, processor seconds of the whole process tree, the best of
several runs. The floor runs in between, so both see the same machine. The digest beside a time tells what was made.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import backups
from tests.real.secret_service import PROGRAMS, desktop

HERE = Path(__file__).parent
KEYFERRY = [sys.executable, str(HERE.parent / "keyferry.py")]
WIDTH = 50
FLOOR = [sys.executable, str(HERE / "floors.py")]


@dataclass(frozen=True, slots=True)
class Row:
    """One job: what it is called, the goal in seconds, and how to run it and its floor in a fresh folder.

    With ``as_ratio`` the goal is a multiple of the floor. ``most`` is the most memory it may hold, in MiB.
    """

    job: str
    goal: float
    ours: Callable[[Path], Sequence[str]]
    floor: Callable[[Path], Sequence[str]]
    prepare: Callable[[Path], None] = lambda _: None
    runs: int = 3
    as_ratio: bool = False
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost."""

    seconds: float  # processor time of it and its children
    mebibytes: float  # most memory it held
    digest: str


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="leave the 100,000 items and the 500 MB out")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the jobs with this text in their name")
    parser.add_argument("--spread", action="store_true", help="show the seconds of every run below its row")
    args = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    for warm in ("migrate", "convert"):
        _run([*KEYFERRY, warm, "--help"])
    with tempfile.TemporaryDirectory(prefix="keyferry-bench-") as folder, _keyring(Path(folder)) as keyring:
        base = Path(folder)
        print("the vault's key is in " + ("a real Secret Service" if keyring else "a key file: no keyring here"))
        print(f"{'job':<{WIDTH}}{'ours':>8}{'floor':>8}{'ratio':>7}{'goal':>7}{'MiB':>6}  result", flush=True)
        for row in rows(base, quick=args.quick, keyring=keyring):
            if args.only.lower() in row.job.lower():
                measure(row, base, spread=args.spread)


@contextmanager
def _keyring(base: Path) -> Iterator[bool]:
    """Run everything inside in a session with a real Secret Service, where its programs are installed."""
    if any(shutil.which(program) is None for program in PROGRAMS):
        yield False
        return
    place = base / "desktop"
    place.mkdir()
    with desktop(place) as session:
        os.environ.update(session.environment)
        yield True


def rows(base: Path, *, quick: bool, keyring: bool) -> list[Row]:
    """Return the jobs, their input files made."""
    small, big, table = base / "10k.json", base / "100k.json", base / "10k.csv"
    _make("bitwarden", small, 10_000)
    _make("lastpass", table, 10_000)

    def empty(home: Path) -> None:
        where = [] if keyring else ["--key-file", str(home / "key")]
        _run([*KEYFERRY, "init", *where, "--home", str(home / "vault")])

    found = [_migrate("Bitwarden JSON, 10k items, into the vault", small, 1.0, empty)]
    if not quick:
        _make("bitwarden", big, 100_000)
        found.append(_migrate("Bitwarden JSON, 100k items, into the vault", big, 10.0, empty, runs=1))

    def filled(home: Path) -> None:
        empty(home)
        _run([*KEYFERRY, "migrate", str(small), "--home", str(home / "vault")])
        _run([*FLOOR, "into_vault", str(small), str(home)])

    def backed_up(home: Path) -> None:
        filled(home)
        _run([*KEYFERRY, "kit", "save", str(home / "kit"), "--home", str(home / "vault")])
        _run([*KEYFERRY, "backup", "create", "--to", str(home / "set.keyferry"), "--home", str(home / "vault")])
        _run([*FLOOR, "seal_rows", str(home)])

    def restore(at: Path) -> list[str]:
        key = [] if keyring else ["--key-file", str(at / "new.key")]
        given = [str(at / "set.keyferry"), "--kit", str(at / "kit"), *key]
        return [*KEYFERRY, "restore", *given, "--home", str(at / "new")]

    return [
        *found,
        Row(
            "LastPass CSV, 10k, to Bitwarden JSON",
            0.5,
            lambda at: [*KEYFERRY, "convert", str(table), str(at / "out.json"), "--to", "bitwarden_json"],
            lambda at: [*FLOOR, "csv_to_json", str(table), str(at / "floor.json")],
        ),
        Row("--help", 0.08, lambda _: [*KEYFERRY, "--help"], lambda _: [*FLOOR, "nothing"], runs=15),
        Row("--version", 0.08, lambda _: [*KEYFERRY, "--version"], lambda _: [*FLOOR, "nothing"], runs=15),
        Row(
            "open the vault through the keyring, list 10k",
            0.6,
            lambda at: [*KEYFERRY, "list", "--home", str(at / "vault")],
            lambda at: [*FLOOR, "read_rows", str(at)],
            filled,
        ),
        Row(
            "open the vault through the keyring, show one",
            0.3,
            lambda at: [*KEYFERRY, "show", "Site number 77", "--home", str(at / "vault")],
            lambda at: [*FLOOR, "read_rows", str(at)],
            filled,
        ),
        Row(
            "back up 10k: sealed, fsynced, read back, compared",
            0.6,
            lambda at: [*KEYFERRY, "backup", "create", "--home", str(at / "vault")],
            lambda at: [*FLOOR, "seal_rows", str(at)],
            filled,
        ),
        Row("restore 10k into a new home", 60, restore, lambda at: [*FLOOR, "unseal_rows", str(at)], backed_up),
        *([] if quick else _attached(base, empty)),
    ]


def _attached(base: Path, empty: Callable[[Path], None]) -> list[Row]:
    """Return the rows about 500 MB of attachments, whose floor is the ``age`` command there and back."""
    if shutil.which("age") is None:
        print("no age command here: the rows about attachments are left out")
        return []
    whole = backups.ATTACHED

    def attached(sizes: Sequence[int]) -> Callable[[Path], None]:
        def prepare(home: Path) -> None:
            if not (base / "plain").exists():
                backups.make_plain(base)
            empty(home)
            given = [str(size) for size in sizes]
            _run([sys.executable, "-m", "benchmarks.backups", str(home / "vault"), *given])

        return prepare

    return [
        Row(
            f"back up 500 MB of attachments ({count} x {whole // count // backups.MEGABYTE} MB)",
            1.5,
            lambda at: [*KEYFERRY, "backup", "create", "--home", str(at / "vault")],
            lambda at: backups.age_there_and_back(base, at),
            attached([whole // count] * count),
            as_ratio=True,
            most=200,
        )
        for count in (50, 1)
    ]


def _make(kind: str, path: Path, items: int) -> None:
    """Write an input in a process of its own: a child's peak memory would else begin with ours."""
    _run([sys.executable, "-m", "benchmarks.exports", kind, str(path), str(items)])


def _migrate(job: str, source: Path, goal: float, empty: Callable[[Path], None], runs: int = 3) -> Row:
    return Row(
        job,
        goal,
        lambda at: [*KEYFERRY, "migrate", str(source), "--home", str(at / "vault")],
        lambda at: [*FLOOR, "into_vault", str(source), str(at)],
        empty,
        runs,
    )


def measure(row: Row, base: Path, *, spread: bool = False) -> None:
    """Run a job and its floor in turns and print the best of each."""
    ours: list[Cost] = []
    floor: list[Cost] = []
    for _ in range(row.runs):
        folder = Path(tempfile.mkdtemp(dir=base))
        row.prepare(folder)
        ours.append(_run(row.ours(folder)))
        floor.append(_run(row.floor(folder)))
        shutil.rmtree(folder)
    best, bare = min(ours, key=_seconds), min(floor, key=_seconds)
    ratio = best.seconds / bare.seconds
    good = (ratio if row.as_ratio else best.seconds) <= row.goal and best.mebibytes <= (row.most or best.mebibytes)
    print(
        f"{row.job:<{WIDTH}}{best.seconds:>7.2f}s{bare.seconds:>7.2f}s{ratio:>6.1f}x"
        f"{row.goal:>6.2f}{'x' if row.as_ratio else 's'}{best.mebibytes:>6.0f}  "
        f"{'met' if good else 'MISSED'} {best.digest}",
        flush=True,
    )
    if spread:
        for name, costs in (("ours", ours), ("floor", floor)):
            print(f"  {name}: " + " ".join(f"{cost.seconds:.2f}" for cost in costs), flush=True)


def _seconds(cost: Cost) -> float:
    return cost.seconds


def _run(command: Sequence[str]) -> Cost:
    """Run a command to its end; raises ``SystemExit`` with what it said where it fails."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{said.decode(errors='replace')}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, hashlib.sha256(said).hexdigest()[:8])


if __name__ == "__main__":
    main()
