"""An epoch's key reaches the devices it is wrapped for, in one way each, and nobody else.

``python -m tests.vault.sync.test_epochs`` flips all bits of the wraps instead of one a byte.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from vault import crypto
from vault.device import Bundle, new_device
from vault.errors import ForgedEntry
from vault.kit import new_kit
from vault.sync import epochs

OWN, OTHER, KIT = new_device(), new_device(), new_kit()
VAULT, KEY, EPOCH = "5a" * 16, bytes(range(32)), 3
SUITES = (epochs.CLASSIC, epochs.HYBRID)


def wrapped(suite: int, key: bytes = KEY, bundle: Bundle = OWN.bundle, epoch: int = EPOCH) -> bytes:
    return epochs.wrap(key, bundle, vault=VAULT, epoch=epoch, suite=suite)


WRAPS = {suite: wrapped(suite) for suite in SUITES}


def refused(data: bytes, suite: int) -> bool:
    try:
        epochs.unwrap(data, OWN, vault=VAULT, epoch=EPOCH, suite=suite)
    except ForgedEntry:
        return True
    return False


def refused_by_kit(data: bytes) -> bool:
    try:
        epochs.unwrap_by_kit(data, KIT.identity)
    except ForgedEntry:
        return True
    return False


def flipped(data: bytes, every_bit: bool) -> Iterator[bytes]:
    seeded = random.Random(len(data))
    for place in range(len(data)):
        for bit in range(8) if every_bit else (seeded.randrange(8),):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


@given(st.binary(min_size=32, max_size=32), st.sampled_from(SUITES), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_what_is_wrapped_is_unwrapped(key: bytes, suite: int, epoch: int) -> None:
    data = wrapped(suite, key, epoch=epoch)
    assert epochs.unwrap(data, OWN, vault=VAULT, epoch=epoch, suite=suite) == key


def test_a_kit_gets_a_key_as_an_age_file() -> None:
    data = epochs.wrap_for_kit(KEY, KIT.recipient)
    assert data.startswith(b"age-encryption.org/v1\n")
    assert epochs.unwrap_by_kit(data, KIT.identity) == KEY
    with pytest.raises(ForgedEntry, match="not sealed to this kit"):
        epochs.unwrap_by_kit(data, new_kit().identity)


def test_a_wrap_takes_this_much() -> None:
    assert {suite: len(data) for suite, data in WRAPS.items()} == {epochs.CLASSIC: 256, epochs.HYBRID: 1484}


def test_a_device_gets_the_best_it_can_use() -> None:
    assert epochs.best_suite(OWN.bundle) == epochs.HYBRID
    assert epochs.best_suite(replace(OWN.bundle, mlkem768=b"")) == epochs.CLASSIC


@pytest.mark.parametrize("suite", SUITES)
def test_a_wrap_with_any_byte_altered_is_refused(suite: int) -> None:
    assert not refused(WRAPS[suite], suite)
    assert [one for one in flipped(WRAPS[suite], False) if not refused(one, suite)] == []


def test_a_kits_wrap_with_any_byte_altered_is_refused() -> None:
    data = epochs.wrap_for_kit(KEY, KIT.recipient)
    assert [one for one in flipped(data, False) if not refused_by_kit(one)] == []


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("wrong", [b"", b"\0", bytes(255), bytes(256), b"\xff" * 256, bytes(1484)])
def test_what_is_no_wrap_is_refused(suite: int, wrong: bytes) -> None:
    assert refused(wrong, suite)
    assert refused(WRAPS[suite] + wrong, suite) == bool(wrong)
    assert refused(WRAPS[suite][:-1], suite)


@pytest.mark.parametrize("suite", SUITES)
def test_a_wrap_is_for_one_place(suite: int) -> None:
    """Another vault, epoch or device with the same keys: the context is another one, and so is every key."""
    places = {"vault": VAULT, "epoch": EPOCH, "suite": suite}
    for other in ({"vault": "a5" * 16}, {"epoch": EPOCH + 1}, {"epoch": 0}):
        with pytest.raises(ForgedEntry):
            epochs.unwrap(WRAPS[suite], OWN, **{**places, **other})
    for device in (OTHER, replace(OTHER, rsa=OWN.rsa, x25519=OWN.x25519, mlkem768_seed=OWN.mlkem768_seed)):
        with pytest.raises(ForgedEntry):
            epochs.unwrap(WRAPS[suite], device, **places)


@pytest.mark.parametrize("written", SUITES)
def test_a_wrap_does_not_open_as_one_of_another_suite(written: int) -> None:
    assert {claimed for claimed in range(256) if not refused(WRAPS[written], claimed)} == {written}
    assert refused(epochs.wrap_for_kit(KEY, KIT.recipient), written)


def test_hybrid_needs_both_shares() -> None:
    """Who breaks RSA, or X25519 and ML-KEM, has one share and nothing."""
    rsa_broken = replace(OTHER, rsa=OWN.rsa)
    lattice_broken = replace(OTHER, x25519=OWN.x25519, mlkem768_seed=OWN.mlkem768_seed)
    for thief in (rsa_broken, lattice_broken, replace(lattice_broken, x25519=OTHER.x25519)):
        thief.__dict__["bundle"] = OWN.bundle  # so that the context is the right one
        with pytest.raises(ForgedEntry):
            epochs.unwrap(WRAPS[epochs.HYBRID], thief, vault=VAULT, epoch=EPOCH, suite=epochs.HYBRID)


def test_shares_of_two_wraps_do_not_mix() -> None:
    first, second = (crypto.unpacked(wrapped(epochs.HYBRID)) for _ in range(2))
    for place in range(3):
        mixed = [second[at] if at == place else first[at] for at in range(3)]
        assert refused(crypto.packed(*mixed), epochs.HYBRID)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    for suite in SUITES:
        assert refused(wrapped(suite, bytes(length)), suite)
    assert refused_by_kit(epochs.wrap_for_kit(bytes(length), KIT.recipient))


def small_rsa() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=1024)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "bundle",
    [
        replace(OWN.bundle, rsa=b"RSA"),
        replace(OWN.bundle, rsa=small_rsa()),
        replace(OWN.bundle, mlkem768=b"\xff" * 1184),
        replace(OWN.bundle, x25519=bytes(32)),
    ],
    ids=["no RSA key", "a short RSA key", "no ML-KEM key", "an X25519 key without secrets"],
)
def test_a_device_with_keys_that_are_none_is_named(bundle: Bundle) -> None:
    """A newcomer's bundle is its own word; it must not end an epoch for everybody with an error nobody understands."""
    with pytest.raises(ForgedEntry, match=f"the device {bundle.device_id[:8]} has no usable keys"):
        wrapped(epochs.HYBRID, bundle=bundle)


def test_a_commitment_stands_for_one_key() -> None:
    import hashlib

    assert epochs.commitment_of(KEY) == hashlib.sha256(b"keyferry/epoch/1" + KEY).digest()
    assert len({epochs.commitment_of(key) for key in (KEY, KEY[::-1], bytes(32))}) == 3


def main() -> int:
    """Flip every bit of a wrap of each suite and of one for a kit; return how many were accepted."""
    accepted = 0
    kits = epochs.wrap_for_kit(KEY, KIT.recipient)
    for name, data, check in (
        ("classic", WRAPS[epochs.CLASSIC], lambda one: refused(one, epochs.CLASSIC)),
        ("hybrid", WRAPS[epochs.HYBRID], lambda one: refused(one, epochs.HYBRID)),
        ("kit", kits, refused_by_kit),
    ):
        found = sum(not check(one) for one in flipped(data, True))
        accepted += found
        print(f"{name}: {8 * len(data)} bits flipped, {found} accepted")
    return accepted


if __name__ == "__main__":
    sys.exit(main() > 0)
