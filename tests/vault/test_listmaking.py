"""Whoever may not sign is told why, and nothing is signed that readers of the list would refuse."""

from __future__ import annotations

import pytest

from tests.vault.test_membership import (
    AT,
    CHAIN,
    KIT,
    LAPTOP,
    LAST,
    NEW,
    NEXT,
    PHONE,
    STRANGER,
    SYNCED,
    TABLET,
    refused,
)
from vault import crypto, listmaking, membership
from vault.errors import UsageError, WrongKit
from vault.kit import new_kit


def test_who_may_not_sign_is_told_why() -> None:
    for by, error, words in (
        (PHONE.signer, UsageError, "revoked on 2027-01-02"),
        (STRANGER.signer, UsageError, "neither a kit nor a device"),
        (KIT.root, WrongKit, "replaced on 2026-11-23"),
        (NEXT.root, WrongKit, "replaced on 2027-01-02"),
        (new_kit().root, UsageError, "neither a kit nor a device"),
    ):
        with pytest.raises(error, match=words):
            listmaking.enrol(CHAIN, STRANGER, name="", by=by, now=AT)
        with pytest.raises(error, match=words):
            listmaking.revoke(CHAIN, TABLET.device_id, by=by, now=AT)
    with pytest.raises(WrongKit, match="not the newest"):
        listmaking.new_root(CHAIN, NEW.root, LAPTOP, now=AT, old=KIT.root)
    for device_id in (STRANGER.device_id, PHONE.device_id, "", "zz"):
        with pytest.raises(UsageError, match="no device"):
            listmaking.revoke(CHAIN, device_id, by=LAST.root, now=AT)


def test_no_entry_is_written_that_readers_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MOST_ENTRIES", len(CHAIN))
    with pytest.raises(UsageError, match="cannot take"):
        listmaking.enrol(CHAIN, STRANGER, name="", by=LAST.root, now=AT)


def test_a_device_is_enrolled_by_two_who_are_apart() -> None:
    own, new = LAPTOP.signer, STRANGER.bundle
    body, signature = listmaking.propose(SYNCED, new, by=own, now=AT)
    answer = listmaking.countersign(body, STRANGER)
    added = listmaking.countersigned(body, LAPTOP.bundle.ed25519, signature, new.ed25519, answer)
    assert membership.read_chain([*SYNCED, added]).member(STRANGER.device_id) is not None
    for parts in (
        (LAPTOP.bundle.ed25519, signature, new.ed25519, signature),
        (new.ed25519, answer, LAPTOP.bundle.ed25519, signature),
        (LAPTOP.bundle.ed25519, answer, new.ed25519, answer),
        (new.ed25519, answer, new.ed25519, answer),
    ):
        assert refused([*SYNCED, listmaking.countersigned(body, *parts)])


def test_nobody_countersigns_for_another_or_for_something_else() -> None:
    body, _ = listmaking.propose(SYNCED, STRANGER.bundle, by=LAPTOP.signer, now=AT)
    revocation = crypto.unpacked(SYNCED[6])[0]
    with pytest.raises(UsageError):
        listmaking.countersign(body, PHONE)
    for wrong in (b"", body + b"\0", revocation, crypto.packed(*crypto.unpacked(body), b""), body[:-1]):
        with pytest.raises(UsageError):
            listmaking.countersign(wrong, STRANGER)
    for known in (PHONE, LAPTOP):
        with pytest.raises(UsageError, match="enrolled before"):
            listmaking.propose(SYNCED, known.bundle, by=LAPTOP.signer, now=AT)
    with pytest.raises(UsageError, match="revoked on"):
        listmaking.propose(SYNCED, STRANGER.bundle, by=PHONE.signer, now=AT)
