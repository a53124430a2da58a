"""Fuzzing: ``python -m tests.fuzz [--parser NAME ...] [--runs N] [--seed S]``, nightly or for a release.

Each parser of what strangers send gets so many inputs that are nearly right. Printed are executions, how many a second,
how many different ends they had, and the slowest input. What fails is written to a file, named with its seed, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz import running
from tests.fuzz.parsers import PARSERS
from tests.fuzz.running import Findings, Parser

CORPUS = Path(__file__).with_name("corpus")


def main() -> int:
    """Run the campaigns and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--parser", action="append", choices=sorted(PARSERS), help="only this one; may be repeated")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each parser")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other inputs")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="where failing inputs are written")
    parser.add_argument("--keep", action="store_true", help="keep the smallest input of each kind in the corpus")
    parser.add_argument("--outcomes", action="store_true", help="print how often each end was met")
    args = parser.parse_args()
    print(f"{'parser':<12} {'executions':>11} {'a second':>9} {'ends':>5} {'failed':>6}  slowest")
    failed = False
    for name in args.parser or PARSERS:
        found = running.campaign(PARSERS[name], args.runs, args.seed, keep=args.keep)
        _print(PARSERS[name], found, args.seed, args.out)
        if args.keep:
            _keep(PARSERS[name], found)
        if args.outcomes:
            print("\n".join(f"  {count:>9}  {ended}" for ended, count in found.outcomes.most_common()))
        failed = failed or bool(found.failures)
    return int(failed)


def _print(parser: Parser, found: Findings, seed: int, out: Path) -> None:
    slowest = f"{found.slowest * 1000:.1f} ms, {len(found.slowest_input):,} bytes"
    figures = f"{found.runs:>11,} {found.runs / found.seconds:>9,.0f} {len(found.outcomes):>5} {len(found.failures):>6}"
    print(f"{parser.name:<12} {figures}  {slowest}", flush=True)
    for ended, data in found.failures.items():
        path = running.write(out / f"{parser.name}-seed-{seed}", data)
        print(f"  {ended}: {path}", flush=True)


def _keep(parser: Parser, found: Findings) -> None:
    for data in set(found.kept.values()):
        if len(data) <= running.MOST_KEPT:
            running.write(CORPUS / parser.name, data)


if __name__ == "__main__":
    sys.exit(main())
