"""A relay has the memberships at hand that were asked for last, and no more than it has room for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vault.relay.calling import LAPTOP, PHONE, STRANGER, TABLET, chain_of, log_of, running
from vault import membership


def test_what_is_kept_at_hand_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.relay.memberships._MOST_BYTES", 30_000)
    with running(tmp_path) as caller:
        chains = [chain_of(one) for one in (LAPTOP, PHONE, TABLET, STRANGER)]
        for one, who in zip(chains, (LAPTOP, PHONE, TABLET, STRANGER), strict=True):
            caller.create(one, who)
            assert caller.append(who, membership.vault_id_of(one), *log_of(one, who).parts(1)).status == 200
        assert 0 < caller.relay.memberships._bytes <= 30_000
        assert len(caller.relay.memberships._known) < 4
