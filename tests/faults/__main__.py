"""Every campaign with every fault at every call: ``python -m tests.faults [NAME ...]``; takes some minutes.

Prints the table of each, and ends with 1 if anything did not hold or a fault never met its call.
"""

from __future__ import annotations

import sys
import time

from tests.faults import places
from tests.faults.campaign import ALL, Campaign, Report, run
from tests.faults.campaigns import CAMPAIGNS


def main(names: list[str]) -> int:
    """Run the campaigns of these names, or all."""
    if not places.is_possible():
        print(places.NEEDS)
        return 1
    chosen = [one for one in CAMPAIGNS if not names or one.name in names]
    if not chosen:
        print("\n".join(one.name for one in CAMPAIGNS))
        return 2
    reports = [_told(one) for one in chosen]
    points, kills = sum(one.points for one in reports), sum(one.kills for one in reports)
    problems = sum(len(one.problems) for one in reports)
    print(f"{points:,} faults met their call, {kills:,} of them ended the process; {problems} did not hold")
    return 1 if problems or not all(one.is_complete for one in reports) else 0


def _told(campaign: Campaign) -> Report:
    began = time.monotonic()
    with places.place() as folder:
        report = run(campaign, folder, ALL)
    print(f"{report}\n  {time.monotonic() - began:.0f} s\n", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
