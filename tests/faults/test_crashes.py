"""Killed, refused or cut off from power at each of its calls, no command loses a backup or leaves a vault half done.

``python -m tests.faults`` runs all of it with every kind of fault; here stands what is run each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.faults import campaigns, places
from tests.faults.campaign import AT_EACH, Campaign, run
from tests.faults.running import Kind

CUTS = (Kind.CUT, Kind.CUT_EARLY)
EACH: tuple[tuple[Campaign, Sequence[Kind]], ...] = (
    (campaigns.RESTORE, (Kind.KILL, Kind.BROKEN)),
    (campaigns.BACKUP, (*AT_EACH, *CUTS)),
    (campaigns.PRUNE, AT_EACH),
    (campaigns.REPAIR, AT_EACH),
    (campaigns.MERGE, (Kind.KILL, Kind.BROKEN)),
    (campaigns.MIGRATE, (Kind.KILL, Kind.FULL)),
    (campaigns.REPLACE, (Kind.KILL,)),
    (campaigns.ROTATE, (Kind.KILL,)),
    (campaigns.COMPACT, (Kind.KILL,)),
)
LEAST = 200  # faults that met their call, in one campaign alone


@pytest.fixture(autouse=True)
def watched() -> None:
    if not places.is_possible():
        pytest.skip(places.NEEDS)


@pytest.mark.slow
@pytest.mark.parametrize(("campaign", "kinds"), EACH, ids=[one.name for one, _ in EACH])
def test_nothing_is_lost_or_half_done_whatever_happens_at_any_call(
    campaign: Campaign, kinds: Sequence[Kind], record_property: Callable[[str, object], None]
) -> None:
    with places.place() as folder:
        report = run(campaign, folder, kinds)
    record_property("table", str(report))
    assert not report.problems
    assert report.is_complete, "a fault never met its call"
    assert report.met[Kind.KILL].total() == len(report.calls)
    assert campaign is not campaigns.BACKUP or report.points >= LEAST
