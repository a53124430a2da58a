"""Rates fill up again with time, forget nobody who is still using them, and no request counts twice."""

from __future__ import annotations

import pytest

from vault.relay import quota
from vault.relay.quota import Buckets, Nonces
from vault.sync import wire


def test_a_bucket_is_full_at_first_and_fills_with_time() -> None:
    buckets = Buckets(60)
    assert buckets.take("a", 0.0, 60) == 0
    assert buckets.take("a", 0.0) == pytest.approx(1.0)
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 1.0) == 0
    assert buckets.take("a", 1.0, 30) == pytest.approx(30.0)
    assert buckets.take("a", 31.0, 30) == 0


def test_a_bucket_never_holds_more_than_its_size() -> None:
    buckets = Buckets(10)
    buckets.take("a", 0.0)
    assert buckets.take("a", 1e6, 10) == 0
    assert buckets.take("a", 1e6) > 0


def test_more_than_a_bucket_holds_takes_a_full_one() -> None:
    buckets = Buckets(10)
    assert buckets.take("a", 0.0, 500) == 0
    assert buckets.take("a", 0.0) > 0


def test_a_clock_that_goes_back_fills_nothing() -> None:
    buckets = Buckets(1)
    assert buckets.take("a", 100.0) == 0
    assert buckets.take("a", 0.0) > 0


def test_nothing_at_all_is_allowed_by_a_rate_of_none() -> None:
    assert Buckets(0).take("a", 0.0) == 0  # what costs no token
    assert Buckets(0).wait("a", 0.0) == 3600


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "_MOST_KEYS", 3)
    buckets = Buckets(1)
    for key in "abcd":
        buckets.take(key, 0.0)
    assert len(buckets._left) == 3
    assert buckets.take("d", 0.0) > 0
    assert buckets.take("a", 0.0) == 0


def test_a_nonce_is_new_once_per_signer() -> None:
    nonces = Nonces()
    assert nonces.is_new("a", "1", 0)
    assert not nonces.is_new("a", "1", 2 * wire.WINDOW_MS)
    assert nonces.is_new("b", "1", 0)
    assert nonces.is_new("a", "1", 2 * wire.WINDOW_MS + 1)


def test_a_full_memory_of_nonces_forgets_the_oldest() -> None:
    nonces = Nonces(most=2)
    assert nonces.is_new("a", "1", 0)
    assert nonces.is_new("a", "2", 0)
    assert nonces.is_new("a", "3", 1)
    assert not nonces.is_new("a", "3", 1)
    assert len(nonces._seen) <= 2
