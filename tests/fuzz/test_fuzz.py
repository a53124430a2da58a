"""What strangers sent is refused by the errors that are documented, and by nothing else: kept inputs, and new ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import running
from tests.fuzz.parsers import PARSERS
from tests.fuzz.running import Hang, Parser, Wrong

CORPUS = Path(__file__).with_name("corpus")
ROOT = Path(__file__).parents[2]


def test_five_hundred_corrupt_inputs_are_kept() -> None:
    kept = {name: len(list((CORPUS / name).iterdir())) for name in PARSERS}
    assert sum(kept.values()) >= 500
    assert min(kept.values()) >= 2
    assert {path.name for path in CORPUS.iterdir()} == set(PARSERS)


@pytest.mark.parametrize("name", PARSERS)
def test_kept_inputs_end_as_documented(name: str) -> None:
    failed = {path.name: running.failure(PARSERS[name], path.read_bytes()) for path in (CORPUS / name).iterdir()}
    assert {one: ended for one, ended in failed.items() if ended} == {}


@pytest.mark.parametrize("name", PARSERS)
def test_new_inputs_end_as_documented(name: str) -> None:
    found = running.campaign(PARSERS[name], 300, seed=7)
    assert found.failures == {}
    assert len(found.outcomes) > 1


@pytest.mark.parametrize("name", PARSERS)
def test_valid_inputs_are_taken(name: str) -> None:
    """A parser that refuses everything would pass as well."""
    ends = {running.outcome(PARSERS[name], one).partition(":")[0] for one in PARSERS[name].seeds()}
    assert "took" in ends


def broken(parse: Callable[[bytes], str]) -> Parser:
    return Parser("broken", parse, lambda: (b"seed " * 9,), (ValueError,))


def _forgets(data: bytes) -> str:
    return {b"seed": "seed"}[data[:4]]


def _takes_all(data: bytes) -> str:
    if data != b"seed " * 9:
        raise Wrong("altered")
    return "seed"


def _hangs(data: bytes) -> str:
    while True:
        pass


def _eats(data: bytes) -> str:
    return f"{len(bytes(1 << 30))}"


@pytest.mark.parametrize(
    ("parse", "told"),
    [(_forgets, "! KeyError"), (_takes_all, "! altered")],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_broken_parser_is_found(parse: Callable[[bytes], str], told: str) -> None:
    found = running.campaign(broken(parse), 50, seed=1)
    assert {ended[: len(told)] for ended in found.failures} == {told}


def test_a_parser_that_takes_too_much_memory_is_found() -> None:
    """In a process of its own: one that has run for long may have that much to give."""
    found = (
        "from tests.fuzz import running, test_fuzz as own; "
        "print({ended.partition(':')[0] for ended in running.campaign(own.broken(own._eats), 50, seed=1).failures})"
    )
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().startswith("{'! MemoryError")


def test_a_parser_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SECONDS", 0.02)
    assert Hang.__name__ in running.failure(broken(_hangs), b"")


def test_a_seed_makes_the_same_inputs_again() -> None:
    seen: list[list[bytes]] = []
    for _ in range(2):
        seen.append([])
        running.campaign(broken(lambda data: str(seen[-1].append(data))), 100, seed=3)
    assert list(dict.fromkeys(seen[0])) == list(dict.fromkeys(seen[1]))  # the slowest are measured again


def test_the_command_prints_a_table(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "tests.fuzz", "--parser", "code", "--runs", "500", "--out", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT)
    head, line = done.stdout.splitlines()
    assert head.split() == ["parser", "executions", "a", "second", "ends", "failed", "slowest"]
    assert line.split()[:2] == ["code", "500"]
    assert list(tmp_path.iterdir()) == []
