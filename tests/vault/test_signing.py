"""Who has an ML-DSA-65 key in the list of devices signs by it as well, and nobody takes that off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault import crypto, device, listentry, listmaking, membership, signing
from vault.device import Device, new_device
from vault.errors import DamagedVault, UsageError, WrongKit
from vault.kit import Kit, new_kit
from vault.signing import Signer

AT = "2026-11-23T00:00:00Z"
KIT, NEXT = new_kit(), new_kit()
LAPTOP, PHONE, TABLET = (new_device() for _ in range(3))
SHORT, LONG = 64, 3_373


def without_library(patch: pytest.MonkeyPatch) -> None:
    """Make this the build of a distribution that leaves ML-DSA out."""
    patch.setattr(signing, "has_mldsa65", lambda: False)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    without_library(monkeypatch)


def classic_device() -> Device:
    with pytest.MonkeyPatch.context() as patch:
        without_library(patch)
        return new_device()


OLD, OLDER = classic_device(), classic_device()


def mixed() -> list[bytes]:
    """Return a chain that began classic: a strong device joins, a strong root follows, then all may sign."""
    chain = [listmaking.genesis(KIT.classic_root, OLD, name="", now=AT)]
    chain.append(listmaking.enrol(chain, OLDER, name="", by=OLD.signer, now=AT))
    chain.append(listmaking.enrol(chain, LAPTOP, name="", by=OLD.signer, now=AT))
    chain.append(listmaking.enrol(chain, PHONE, name="", by=LAPTOP.signer, now=AT))
    chain.append(listmaking.new_root(chain, NEXT.root, OLD, now=AT, old=KIT.classic_root))
    chain.append(listmaking.revoke(chain, OLDER.device_id, by=NEXT.root, now=AT))
    chain.append(listmaking.begin_epoch(chain, 0, bytes(32), {PHONE.device_id: (1, b"x")}, by=OLD.signer, now=AT))
    chain.append(listmaking.begin_epoch(chain, 0, bytes(32), {OLD.device_id: (1, b"x")}, by=PHONE.signer, now=AT))
    chain.append(listmaking.bring_lost(chain, 1, b"1" * 32, {PHONE.device_id: (1, b"x")}, by=OLD.signer, now=AT))
    chain.append(listmaking.bring_lost(chain, 1, b"1" * 32, {OLD.device_id: (1, b"x")}, by=PHONE.signer, now=AT))
    return chain


CHAIN = mixed()
FORMS = [1, 1, 2, 2, 2, 2, 1, 2, 2, 2]


def form(entry: bytes) -> int:
    return int(crypto.unpacked(crypto.unpacked(entry)[0])[0][-1:])


def signatures(entry: bytes) -> tuple[bytes, ...]:
    return crypto.unpacked(crypto.unpacked(entry)[2])


def signed_as(entry: bytes, *others: bytes) -> bytes:
    """Return the entry with other signatures."""
    body, signers, _ = crypto.unpacked(entry)
    return crypto.packed(body, signers, crypto.packed(*others))


def accepted(chain: Sequence[bytes]) -> bool:
    try:
        membership.read_chain(chain)
    except DamagedVault:
        return False
    return True


def in_place_of(number: int, entry: bytes) -> list[bytes]:
    return [*CHAIN[:number], entry]


# -- who signs how


def test_a_new_vault_is_signed_by_both_from_its_first_entry() -> None:
    first = listmaking.genesis(KIT.root, LAPTOP, name="", now=AT)
    found = membership.read_chain([first])
    assert found.roots[0].mldsa65 == KIT.root.mldsa65
    assert found.members[0].bundle.mldsa65 == LAPTOP.mldsa65
    assert [len(one) for one in signatures(first)] == [LONG, LONG]


def test_a_chain_may_begin_classic_and_each_signs_by_the_keys_that_it_has_there() -> None:
    assert [form(one) for one in CHAIN] == FORMS
    assert [[len(one) for one in signatures(entry)] for entry in CHAIN] == [
        *([SHORT, SHORT], [SHORT, SHORT], [SHORT, LONG], [LONG, LONG], [LONG, SHORT, SHORT]),
        *([LONG], [SHORT], [LONG], [SHORT], [LONG]),
    ]
    assert membership.read_chain(CHAIN).root == NEXT.root.public


@pytest.mark.usefixtures("no_library")
def test_without_the_library_everything_is_as_it_was() -> None:
    """The same forms, names and lengths that versions before this one wrote and read."""
    kit, one = new_kit(), new_device()
    assert (one.mldsa65, one.bundle.packed[:21]) == (b"", b"\0\0\0\x11keyferry/device/1")
    assert kit.root == kit.classic_root
    chain = [listmaking.genesis(kit.root, one, name="", now=AT)]
    chain.append(listmaking.enrol(chain, OLD, name="", by=kit.root, now=AT))
    assert [form(each) for each in chain] == [1, 1]
    assert accepted(chain)


@pytest.mark.usefixtures("no_library")
def test_a_device_whose_library_lost_ml_dsa_keeps_its_id_and_cannot_sign_the_list() -> None:
    again = device.from_text(device.to_text(LAPTOP))
    assert again.device_id == LAPTOP.device_id
    for by in (again.signer, Kit(NEXT.seed).root_among([NEXT.strong_root.public])):
        with pytest.raises(UsageError, match="ML-DSA-65"):
            listmaking.revoke(CHAIN, OLD.device_id, by=by, now=AT)
    assert accepted([*CHAIN, listmaking.revoke(CHAIN, LAPTOP.device_id, by=OLD.signer, now=AT)])


def test_a_kit_signs_by_the_root_that_the_vault_has() -> None:
    assert KIT.root_among([KIT.classic_root.public]) == KIT.classic_root
    assert KIT.root_among([NEXT.root.public, KIT.strong_root.public]) == KIT.strong_root
    assert KIT.root_among([]) == KIT.root
    with pytest.raises(WrongKit):
        listmaking.revoke(CHAIN, OLD.device_id, by=KIT.classic_root, now=AT)


# -- who breaks Ed25519


def test_a_kit_knows_its_root_by_both_keys() -> None:
    """Its classic key is nobody's to know where the vault has the strong one, so no classic chain is made up for it."""
    classic, strong = KIT.roots
    assert classic.public != strong.public
    assert KIT.is_root(classic.public, b"")
    assert KIT.is_root(strong.public, strong.mldsa65)
    for public, mldsa65 in (
        *((strong.public, b""), (classic.public, strong.mldsa65), (strong.public, NEXT.root.mldsa65)),
        (NEXT.root.public, strong.mldsa65),
    ):
        assert not KIT.is_root(public, mldsa65)


@pytest.mark.usefixtures("no_library")
def test_a_kit_without_the_library_knows_its_root_by_ed25519_and_that_there_is_another() -> None:
    kit, other = Kit(KIT.seed), NEXT.seed * 61
    assert kit.is_root(kit.strong_root.public, other)
    assert not kit.is_root(kit.strong_root.public, b"")


def test_no_signature_can_be_taken_off() -> None:
    for number, entry in enumerate(CHAIN):
        for place, one in enumerate(signatures(entry)):
            if len(one) == LONG:
                kept = list(signatures(entry))
                for less in (one[:SHORT], one[SHORT:], one[:-1], one + b"\0", b""):
                    assert not accepted(in_place_of(number, signed_as(entry, *kept[:place], less, *kept[place + 1 :])))


def test_neither_half_can_be_another_ones_or_of_something_else() -> None:
    """Whoever can make one of the two still cannot make the other."""
    for number, entry in enumerate(CHAIN):
        body, kept = crypto.unpacked(entry)[0], list(signatures(entry))
        for place, one in enumerate(kept):
            if len(one) == LONG:
                theirs, other = TABLET.signer.sign(body), LAPTOP.signer.sign(b"something else")
                for wrong in (
                    *(theirs[:SHORT] + one[SHORT:], one[:SHORT] + theirs[SHORT:], one[:SHORT] + other[SHORT:]),
                    one[:SHORT] + bytes(LONG - SHORT),
                ):
                    assert not accepted(in_place_of(number, signed_as(entry, *kept[:place], wrong, *kept[place + 1 :])))


def test_two_signatures_do_not_change_places() -> None:
    for number, entry in enumerate(CHAIN):
        if len(kept := signatures(entry)) > 1:
            assert not accepted(in_place_of(number, signed_as(entry, *reversed(kept))))


def test_whoever_has_the_key_in_the_chain_does_not_go_back_to_the_old_form() -> None:
    """Not with one signature, as one who breaks Ed25519 would, and not with both."""
    head = (bytes.fromhex(membership.vault_id_of(CHAIN)), membership.head_of(CHAIN))
    for by in (LAPTOP.signer, PHONE.signer, NEXT.root):
        for namespace in (listentry.CLASSIC, listentry.NAMESPACE):
            body = crypto.packed(namespace, b"revoke", AT.encode(), *head, bytes.fromhex(OLD.device_id))
            assert not accepted([*CHAIN, listentry.signed(body, Signer(by.ed25519))])
            assert accepted([*CHAIN, listentry.signed(body, by)]) == (namespace == listentry.NAMESPACE)
    body = crypto.packed(listentry.CLASSIC, b"revoke", AT.encode(), *head, bytes.fromhex(PHONE.device_id))
    assert accepted([*CHAIN, listentry.signed(body, OLD.signer)])


def test_a_device_of_the_new_form_does_not_come_in_by_the_old_one() -> None:
    head = (bytes.fromhex(membership.vault_id_of(CHAIN)), membership.head_of(CHAIN))
    for namespace in (listentry.CLASSIC, listentry.NAMESPACE):
        body = crypto.packed(namespace, b"enrol", AT.encode(), *head, b"", TABLET.bundle.packed)
        assert not accepted([*CHAIN, listentry.signed(body, OLD.signer, Signer(TABLET.ed25519))])
        chain = [*CHAIN, listentry.signed(body, OLD.signer, TABLET.signer)]
        assert accepted(chain) == (namespace == listentry.NAMESPACE)


def test_an_ml_dsa_key_plays_one_part() -> None:
    """A device that was revoked does not come back with its old one beside a new signing key."""
    for known in (PHONE, LAPTOP):
        both = replace(TABLET, mldsa65=known.mldsa65, mldsa65_seed=known.mldsa65_seed)
        with pytest.raises(UsageError):
            listmaking.enrol(CHAIN, both, name="", by=LAPTOP.signer, now=AT)
    alike = replace(LAPTOP, mldsa65=KIT.root.mldsa65, mldsa65_seed=KIT.root.mldsa65_seed)
    assert not accepted([listmaking.genesis(KIT.root, alike, name="", now=AT)])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_bit_flipped_in_a_mixed_chain_is_refused(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(CHAIN) - 1), "entry")
    bit = data.draw(st.integers(0, 8 * len(CHAIN[number]) - 1), "bit")
    wrong = bytearray(CHAIN[number])
    wrong[bit // 8] ^= 1 << bit % 8
    assert not accepted(in_place_of(number, bytes(wrong)))


def test_a_bit_flipped_in_any_byte_of_a_long_signature_is_refused() -> None:
    entry = CHAIN[5]
    for place in range(len(entry) - LONG, len(entry)):
        wrong = bytearray(entry)
        wrong[place] ^= 1 << place % 8
        assert not accepted(in_place_of(5, bytes(wrong)))


@pytest.mark.usefixtures("no_library")
def test_a_reader_without_the_library_checks_ed25519_alone_and_the_lengths() -> None:
    assert accepted(CHAIN)
    (one,) = signatures(CHAIN[5])
    assert accepted(in_place_of(5, signed_as(CHAIN[5], one[:SHORT] + bytes(LONG - SHORT))))
    assert not accepted(in_place_of(5, signed_as(CHAIN[5], one[:SHORT])))
    assert not accepted(in_place_of(5, signed_as(CHAIN[5], bytes(SHORT) + one[SHORT:])))


def test_what_was_found_to_hold_without_the_library_is_checked_again_with_it() -> None:
    (one,) = signatures(CHAIN[5])
    forged = in_place_of(5, signed_as(CHAIN[5], one[:SHORT] + bytes(LONG - SHORT)))
    with pytest.MonkeyPatch.context() as patch:
        without_library(patch)
        assert accepted(forged)
    assert not accepted(forged)


# -- what it weighs


@pytest.fixture
def young() -> Iterator[list[bytes]]:
    yield [listmaking.genesis(KIT.root, LAPTOP, name="", now=AT)]


def test_an_entry_of_each_kind_stays_within_a_few_kilobytes(young: list[bytes]) -> None:
    young.append(listmaking.enrol(young, PHONE, name="", by=LAPTOP.signer, now=AT))
    young.append(listmaking.enrol(young, TABLET, name="", by=LAPTOP.signer, now=AT))
    young.append(listmaking.revoke(young, PHONE.device_id, by=LAPTOP.signer, now=AT, last=(1, bytes(32))))
    young.append(listmaking.new_root(young, NEXT.root, LAPTOP, now=AT, old=KIT.root))
    assert [len(one) < most for one, most in zip(young, (12_500, 10_600, 10_600, 3_700, 12_700), strict=True)] == [
        True
    ] * 5, [len(one) for one in young]
