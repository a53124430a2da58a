"""A campaign: one parser, very many inputs, and what came of them.

A parser may refuse an input by its documented errors, and by nothing else. Whatever it takes, it must have been right
to take (``Wrong``). It has a second of processor time and 256 MB for each input. An input that ends somewhere new joins
those that are changed further.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType, TracebackType

from tests.fuzz import mutating
from tests.fuzz.mutating import Mutation

SECONDS = 1.0
MOST_MEMORY = 256 << 20
MOST_KEPT = 6 << 10  # bytes of an input in the corpus
_MOST_POOL = 400
_MOST_POOLED_BYTES = 8 << 10
_HERE = str(Path(__file__).parents[2])


class Wrong(Exception):
    """The parser took what it must not take."""


class Hang(BaseException):
    """The parser took more than a second."""


@dataclass(frozen=True, slots=True)
class Parser:
    """What is tried: ``parse`` returns a word for what it took, raises one of ``errors``, or ``Wrong``."""

    name: str
    parse: Callable[[bytes], str]
    seeds: Callable[[], Sequence[bytes]]
    errors: tuple[type[BaseException], ...]
    mutations: Sequence[Mutation] = mutating.ON_PACKED


@dataclass(slots=True)
class Findings:
    """What a campaign came to; ``kept`` are the smallest inputs by how they ended and what was done to them."""

    runs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_input: bytes = b""
    failures: dict[str, bytes] = field(default_factory=dict)
    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)


def campaign(parser: Parser, runs: int, seed: int, *, keep: bool = False) -> Findings:
    """Run a parser on so many inputs; the same seed makes the same ones."""
    random, found = Random(f"{parser.name} {seed}"), Findings()
    pool = [*parser.seeds()]
    for one in pool:
        outcome(parser, one)
    began = time.perf_counter()
    with _bounded():
        for _ in range(runs):
            data, other = random.choice(pool), random.choice(pool)
            name, changed = mutating.mutated(random, parser.mutations, data, other)
            before = time.perf_counter()
            ended = outcome(parser, changed)
            spent = time.perf_counter() - before
            if "Hang" in ended:  # the clock ticks coarsely: it must hang twice
                ended = outcome(parser, changed)
            found.outcomes[ended] += 1
            if found.outcomes[ended] == 1 and len(pool) < _MOST_POOL and len(changed) < _MOST_POOLED_BYTES:
                pool.append(changed)
            if ended.startswith("!") and ended not in found.failures:
                found.failures[ended] = changed
            if spent > found.slowest and (spent := _again(parser, changed, spent)) > found.slowest:
                found.slowest, found.slowest_input = spent, changed
            if keep:
                _keep(found, ended, name.partition("+")[0], changed)
    found.runs, found.seconds = runs, time.perf_counter() - began
    return found


def _again(parser: Parser, data: bytes, spent: float) -> float:
    """Return how long an input takes, whatever else the machine does."""
    for _ in range(3):
        before = time.perf_counter()
        outcome(parser, data)
        spent = min(spent, time.perf_counter() - before)
    return spent


def outcome(parser: Parser, data: bytes) -> str:
    """Return how the parser ended: what it took, the error and the line it came from; a failure begins with ``!``."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return f"took: {parser.parse(data)}"
    except parser.errors as error:
        return f"{type(error).__name__} at {_origin(error)}"
    except Wrong as error:
        return f"! {error}"
    except (Exception, Hang, *_panics()) as error:
        return f"! {type(error).__name__} at {_origin(error)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def failure(parser: Parser, data: bytes) -> str:
    """Return what is wrong with how the parser ends on these bytes, nothing if it is right."""
    with _bounded():
        ended = outcome(parser, data)
    return ended if ended.startswith("!") else ""


def write(folder: Path, data: bytes) -> Path:
    """Keep an input under its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


def _keep(found: Findings, ended: str, mutation: str, data: bytes) -> None:
    key = (ended, mutation)
    if key not in found.kept or len(data) < len(found.kept[key]):
        found.kept[key] = data


def _origin(error: BaseException) -> str:
    """Return the line of ours, and of the library below, where the first error of a chain was raised."""
    while error.__context__ is not None:
        error = error.__context__
    place, own = "?", ""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno}"
        if code.co_filename.startswith(_HERE):
            own = place
        step = step.tb_next
    return own if own == place else f"{own} {place}"


def _panics() -> tuple[type[BaseException], ...]:
    """Return the panics of libraries in Rust, which are no ``Exception``."""
    return tuple(one for one in BaseException.__subclasses__() if one.__name__ == "PanicException")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Let nothing take more than a second or 256 MB beyond what there is."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    try:
        with _bounded_memory():
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    import resource

    old = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)
