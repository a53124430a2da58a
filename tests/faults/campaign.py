"""A campaign: one command struck by each fault at each of its calls, and what has to hold after every one.

Whatever happened, the vault opens in its old state or its new one, the new one if the command said it was done; no
backup is lost that the command does not remove by itself, and each that bears a backup's name is whole; nothing on the
disk shows a value; the same command, typed again, succeeds and leaves no half-written file. What the command itself
says is one sentence with an exit code that fits.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import oracle
from tests.faults.calls import OPERATIONS, Call
from tests.faults.running import Fault, Keyferry, Kind, Ran

AT_EACH = (Kind.KILL, Kind.TORN, Kind.FULL, Kind.BROKEN)
ALL = tuple(Kind)
ATTEMPTS = 8
_TOKEN = re.compile(r"\d{8}T\d{6}Z|[0-9a-f]{8,}")

Command = Callable[[Keyferry], Sequence[str | Path]]


@dataclass(frozen=True)
class Campaign:
    """A command and the world it runs in."""

    name: str
    prepare: Callable[[Keyferry], None]
    command: Command
    state: Callable[[Keyferry], object] = oracle.vault_state  # what must be the old or the new one
    again: Command | None = None  # typed after the fault, where it is not the same command
    again_codes: tuple[int, ...] = (0,)
    failing: tuple[int, ...] = (40, 41)  # exit codes that an error of the disk may have
    missing: Callable[[Keyferry], str] = lambda _: ""  # what is not done yet, where the state does not tell
    after: Callable[[Keyferry], None] = lambda _: None  # raises where more than this has to hold at the end


@dataclass(frozen=True)
class Problem:
    """What did not hold after one fault."""

    fault: Fault
    operation: str
    path: str
    kind: str  # lost, half, or other
    what: str

    def __str__(self) -> str:
        return f"{self.fault.kind.value} at {self.fault.at} ({self.operation} {self.path}): {self.what}"


@dataclass
class Report:
    """What a campaign found: the calls of one run, the faults that met their call, and what did not hold."""

    name: str
    calls: list[Call]
    met: dict[Kind, Counter[str]] = field(default_factory=dict)
    asked: dict[Kind, Counter[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def points(self) -> int:
        """How many faults met their call."""
        return sum(counter.total() for counter in self.met.values())

    @property
    def kills(self) -> int:
        """How many of them ended the process."""
        return sum(counter.total() for kind, counter in self.met.items() if kind.kills)

    @property
    def is_complete(self) -> bool:
        """Whether each call was met by each fault that it can have."""
        return self.met == self.asked

    def __str__(self) -> str:
        head = ("calls", *(kind.value for kind in self.asked), "lost sets", "half states", "other")
        present = [name for name in (*OPERATIONS, "all done") if any(counts[name] for counts in self.asked.values())]
        lines = [_row(self.name, head), *(_row(f"  {name}", self._cells(name)) for name in present)]
        return "\n".join([*lines, _row("  all", self._cells(None)), *(f"  ! {problem}" for problem in self.problems)])

    def _cells(self, operation: str | None) -> Iterator[str]:
        yield str(sum(operation in (None, call.operation) for call in self.calls))
        for kind, asked in self.asked.items():
            counts = (self.met[kind], asked)
            yield "/".join(str(one.total() if operation is None else one[operation]) for one in counts)
        for sort in ("lost", "half", "other"):
            found = [problem for problem in self.problems if problem.kind == sort]
            yield str(sum(operation in (None, problem.operation) for problem in found))


def _row(name: str, cells: Iterable[str]) -> str:
    return f"{name:<26}" + "".join(f"{cell:>14}" for cell in cells)


class _Trial:
    """One campaign in one folder."""

    def __init__(self, campaign: Campaign, keyferry: Keyferry, saved: Path) -> None:
        self.campaign, self.keyferry, self.saved = campaign, keyferry, saved
        for name in ("user", "tmp"):
            (keyferry.root / name).mkdir(parents=True)
        campaign.prepare(keyferry)
        settle()
        shutil.copytree(keyferry.root, saved, symlinks=True)
        self.old_sets = oracle.sets(keyferry.root)
        self.old = campaign.state(keyferry)
        self.was_missing = bool(campaign.missing(keyferry))
        self.calls = self._counted()
        self.new = campaign.state(keyferry)
        assert not campaign.missing(keyferry), campaign.missing(keyferry)
        self.new_sets = oracle.sets(keyferry.root)
        assert self.was_missing or self.new != self.old, "a command that changes nothing cannot be half done"

    def _counted(self) -> list[Call]:
        """Return the calls of a run; the first one loads more than the others."""
        for _ in range(2):
            self.reset()
            ran = self.keyferry.counted(*self.campaign.command(self.keyferry))
            assert ran.code == 0, (self.campaign.name, ran.code, ran.out, ran.err)
        return ran.calls

    def reset(self) -> None:
        """Put the world back to where it was before the command."""
        shutil.rmtree(self.keyferry.root)
        shutil.copytree(self.saved, self.keyferry.root, symlinks=True)

    def strike(self, fault: Fault) -> tuple[Ran, bool]:
        """Run the command with the fault until it meets the same call as in the counted run; tells whether it did."""
        for _ in range(ATTEMPTS):
            self.reset()
            ran = self.keyferry.struck(fault, *self.campaign.command(self.keyferry))
            met = fault.at > len(self.calls) or (ran.met is not None and _same(ran.met, self.calls[fault.at - 1]))
            if met:
                break
        return ran, met

    def problems(self, fault: Fault, ran: Ran) -> Iterator[tuple[str, str]]:
        """Yield what does not hold, as (kind, what)."""
        yield from self._said(fault, ran)
        yield from self._sets()
        yield from oracle.leaks(self.keyferry.root)
        allowed = (self.new,) if ran.code == 0 else (self.old, self.new)
        yield from self._state(allowed)
        yield from self._missing() if ran.code == 0 else ()
        _age(self.keyferry.root)
        again = self.campaign.again or self.campaign.command
        next_ = self.keyferry(*again(self.keyferry))
        if next_.code not in self.campaign.again_codes:
            yield "other", f"the next run ends with {next_.code}: {next_.err.strip()[:300]}"
            return
        yield from self._state((self.new,))
        yield from self._missing()
        yield from self._sets()
        try:
            self.campaign.after(self.keyferry)
        except Exception as error:
            yield "half", f"afterwards: {type(error).__name__}: {error}"
        yield from oracle.leaks(self.keyferry.root)
        yield from oracle.leftovers(self.keyferry.root)

    def _said(self, fault: Fault, ran: Ran) -> Iterator[tuple[str, str]]:
        if "Traceback" in ran.err or ran.code == 59:
            yield "other", f"ends with {ran.code}: {ran.err.strip()[:400]}"
        elif fault.kind.kills:
            if ran.code not in (0, -9) or (ran.code == 0 and fault.at <= len(self.calls)):
                yield "other", f"ends with {ran.code}, not killed: {ran.err.strip()[:300]}"
        elif ran.code and ran.code not in self.campaign.failing:
            yield "other", f"ends with {ran.code}: {ran.err.strip()[:300]}"
        elif ran.code and not ran.err.startswith(("error: ", "warning: ", "{")):
            yield "other", f"says no sentence: {ran.err.strip()[:300]}"

    def _state(self, allowed: Iterable[object]) -> Iterator[tuple[str, str]]:
        try:
            state = self.campaign.state(self.keyferry)
        except Exception as error:
            yield "half", f"the vault does not open: {type(error).__name__}: {error}"
            return
        if state not in tuple(allowed):
            yield "half", "the vault is neither as before nor as after" if len(tuple(allowed)) > 1 else "not done"

    def _missing(self) -> Iterator[tuple[str, str]]:
        missing = self.campaign.missing(self.keyferry)
        if missing:
            yield "half", f"not done: {missing}"

    def _sets(self) -> Iterator[tuple[str, str]]:
        found = oracle.sets(self.keyferry.root)
        for path, digest in self.old_sets.items():
            if found.get(path) not in (digest, self.new_sets.get(path)):
                yield "lost", f"{path.name} is {'changed' if path in found else 'gone'}"
        for path in found.keys() - self.old_sets.keys():
            broken = oracle.broken_set(self.keyferry, path)
            if broken:
                yield "half", f"{path.name} is not whole: {broken}"


def settle() -> None:
    """Wait until nothing that was made is of this second: then all runs write as much."""
    time.sleep(1.1)


def run(campaign: Campaign, folder: Path, kinds: Sequence[Kind] = AT_EACH) -> Report:
    """Strike the campaign's command at each of its calls, in a folder that is empty."""
    root = folder / "place"
    root.mkdir(parents=True)
    with Keyferry(root) as keyferry:
        trial = _Trial(campaign, keyferry, folder / "saved")
        report = Report(campaign.name, trial.calls)
        for kind in kinds:
            asked, met = report.asked.setdefault(kind, Counter()), report.met.setdefault(kind, Counter())
            for at, call in _places(trial.calls, kind):
                fault, operation = Fault(kind, at), call.operation if call else "all done"
                asked[operation] += 1
                ran, was_met = trial.strike(fault)
                met[operation] += was_met
                path = _relative(call, root)
                report.problems += (Problem(fault, operation, path, *found) for found in trial.problems(fault, ran))
    return report


def _age(root: Path) -> None:
    """Let half-written private files be a day old: nobody can be writing them any more."""
    for path in root.rglob(".keyferry-*.new"):
        os.utime(path, (path.stat().st_mtime - 86_400,) * 2)


def _places(made: list[Call], kind: Kind) -> Iterator[tuple[int, Call | None]]:
    for number, call in enumerate(made, 1):
        if kind is not Kind.TORN or call.is_halvable:
            yield number, call
    if kind.cuts:
        yield len(made) + 1, None  # the command has said that it is done


def _same(one: Call, other: Call) -> bool:
    return one.name == other.name and plain(one) == plain(other)


def plain(call: Call) -> tuple[str, ...]:
    """Return the paths of a call without what is random in them."""
    return tuple(_TOKEN.sub("*", path) for path in call.paths)


def _relative(call: Call | None, root: Path) -> str:
    return "" if call is None else _TOKEN.sub("*", call.path.removeprefix(f"{root}/"))
