"""A membership chain holds only as a whole, and says who could sign what, and until when."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault import crypto, listentry, listmaking, membership
from vault.device import Bundle, Device, new_device
from vault.errors import DamagedVault, UsageError, WrongKit
from vault.kit import Kit, new_kit
from vault.signing import Signer, public_of

LAPTOP, PHONE, TABLET, STRANGER = (new_device() for _ in range(4))
KIT, NEXT, LAST, NEW = (new_kit() for _ in range(4))
AT, THEN = "2026-11-23T00:00:00Z", "2027-01-02T00:00:00Z"


def whole(name: str = "laptop") -> list[bytes]:
    """Return a chain with all kinds of entries: three devices, one of them revoked, and two renewed roots."""
    chain = [listmaking.genesis(KIT.root, LAPTOP, name=name, now=AT)]
    chain.append(listmaking.enrol(chain, PHONE, name="phone", by=LAPTOP.signer, now=AT))
    chain.append(listmaking.new_root(chain, NEXT.root, PHONE, now=AT))
    chain.append(listmaking.enrol(chain, TABLET, name="tablet", by=NEXT.root, now=AT))
    chain.append(listmaking.revoke(chain, PHONE.device_id, by=TABLET.signer, now=THEN))
    chain.append(listmaking.new_root(chain, LAST.root, LAPTOP, now=THEN, old=NEXT.root))
    return chain


CHAIN = whole()
FIRST = CHAIN[0]


def forged(chain: list[bytes], kind: bytes, *rest: bytes, by: tuple[Signer, ...]) -> list[bytes]:
    """Return the chain with an entry that is signed by these, whoever they are."""
    vault_id = bytes.fromhex(membership.vault_id_of(chain))
    body = crypto.packed(listentry.NAMESPACE, kind, AT.encode(), vault_id, membership.head_of(chain), *rest)
    return [*chain, listentry.signed(body, *by)]


def keys_of(kit: Kit) -> tuple[bytes, ...]:
    return kit.root.public, kit.root.mldsa65, kit.recipient.encode()


def refused(chain: list[bytes]) -> bool:
    try:
        membership.read_chain(chain)
    except DamagedVault:
        return True
    return False


def test_a_chain_names_who_is_and_was_a_member() -> None:
    found = membership.read_chain(CHAIN)
    assert [(one.device_id, one.name, one.since, one.until) for one in found.members] == [
        (LAPTOP.device_id, "laptop", AT, None),
        (TABLET.device_id, "tablet", AT, None),
    ]
    assert [(one.device_id, one.since, one.until) for one in found.revoked] == [(PHONE.device_id, AT, THEN)]
    assert found.members == membership.verify_membership(CHAIN, LAST.root_public)
    assert (found.vault_id, found.head) == (membership.vault_id_of(CHAIN), membership.head_of(CHAIN))
    assert found.height == 6
    assert found.member(LAPTOP.device_id) == found.members[0]
    assert found.member(PHONE.device_id) is None


def test_a_chain_tells_each_root_and_whether_the_one_before_agreed() -> None:
    found = membership.read_chain(CHAIN)
    assert [(one.public, one.number, one.since, one.confirmed, one.mldsa65) for one in found.roots] == [
        (KIT.root_public, 0, AT, True, KIT.root.mldsa65),
        (NEXT.root_public, 2, AT, False, NEXT.root.mldsa65),
        (LAST.root_public, 5, THEN, True, LAST.root.mldsa65),
    ]
    assert found.root == LAST.root_public
    assert found.root_of(KIT.root_public) == found.roots[0]
    assert found.root_of(new_kit().root_public) is None


def test_an_old_kit_verifies_up_to_the_entry_that_replaced_it() -> None:
    for number, kit in ((1, KIT), (2, NEXT), (4, NEXT), (5, LAST)):
        membership.verify_membership(CHAIN[: number + 1], kit.root_public)
    for number, kit in ((1, NEXT), (2, KIT), (4, KIT), (5, NEXT)):
        with pytest.raises(WrongKit):
            membership.verify_membership(CHAIN[: number + 1], kit.root_public)


def test_the_vault_id_stands_for_the_first_entry() -> None:
    assert membership.vault_id_of(CHAIN) == membership.vault_id_of([FIRST]) == hashlib.sha256(FIRST).hexdigest()[:32]
    other = listmaking.genesis(KIT.root, STRANGER, name="laptop", now=AT)
    assert membership.vault_id_of([other]) != membership.vault_id_of([FIRST])


def test_every_beginning_of_a_chain_is_a_chain_and_known_as_one() -> None:
    for end in range(1, len(CHAIN) + 1):
        assert membership.read_chain(CHAIN[:end]).height == end
        assert membership.is_prefix(CHAIN[:end], CHAIN)
        assert membership.is_prefix(CHAIN, CHAIN[:end]) == (end == len(CHAIN))


def test_chains_that_parted_are_no_prefix_of_each_other() -> None:
    mine = [*CHAIN, listmaking.enrol(CHAIN, STRANGER, name="", by=LAPTOP.signer, now=AT)]
    theirs = [*CHAIN, listmaking.revoke(CHAIN, TABLET.device_id, by=LAPTOP.signer, now=AT)]
    assert not membership.is_prefix(mine, theirs)
    assert not membership.is_prefix(theirs, mine)


# -- what does not hold


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_any_bit_flipped_in_any_entry_is_refused(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(CHAIN) - 1), "entry")
    bit = data.draw(st.integers(0, 8 * len(CHAIN[number]) - 1), "bit")
    wrong = bytearray(CHAIN[number])
    wrong[bit // 8] ^= 1 << bit % 8
    assert refused([*CHAIN[:number], bytes(wrong), *CHAIN[number + 1 :]])
    assert refused([*CHAIN[:number], bytes(wrong)])


def test_a_bit_flipped_in_any_byte_outside_the_devices_keys_is_refused() -> None:
    """In the entries without a bundle every byte; in the others all that stands before and behind the bundle."""
    for number, entry in enumerate(CHAIN):
        bundle = crypto.unpacked(crypto.unpacked(entry)[0])[-1] if b"keyferry/device/" in entry else b""
        begins = entry.index(bundle) if bundle else len(entry)
        ends = begins + len(bundle)
        for place in (
            *range(min(190, begins)),
            *range(ends, min(ends + 230, len(entry))),
            *range(len(entry) - 230, len(entry)),
        ):
            wrong = bytearray(entry)
            wrong[place] ^= 1 << place % 8
            assert refused([*CHAIN[:number], bytes(wrong)]), (number, place)


@given(st.lists(st.sampled_from(CHAIN), max_size=8))
def test_entries_in_any_other_order_are_refused(chain: list[bytes]) -> None:
    """Left out, repeated, exchanged: only a beginning of the chain is one."""
    assert refused(chain) != (bool(chain) and membership.is_prefix(chain, CHAIN))


@given(st.integers(0, len(CHAIN) - 1), st.integers(1, 400))
def test_an_entry_cut_off_or_with_something_behind_it_is_refused(number: int, count: int) -> None:
    entry = CHAIN[number]
    for wrong in (entry[:-count], entry[count:], entry + bytes(count), entry + entry):
        assert refused([*CHAIN[:number], wrong])


@given(st.integers(0, len(CHAIN) - 1))
def test_an_entry_of_another_vault_does_not_fit(number: int) -> None:
    """The same devices and the same kits, so every signature is by somebody who might."""
    other = whole("another laptop")
    assert refused([*CHAIN[:number], other[number], *CHAIN[number + 1 :]])
    if number:
        assert refused([*CHAIN[:number], other[number]])


@pytest.mark.parametrize("chain", [[], [b""], [b"\0" * 9], [b"\0" * 12]])
def test_what_is_no_chain_is_refused(chain: list[bytes]) -> None:
    with pytest.raises(DamagedVault):
        membership.verify_membership(chain, KIT.root_public)


@pytest.mark.parametrize(("chain", "root"), [([FIRST], NEXT), (CHAIN, KIT), (CHAIN, NEXT), ([FIRST], LAST)])
def test_another_root_is_refused(chain: list[bytes], root: Kit) -> None:
    with pytest.raises(WrongKit):
        membership.verify_membership(chain, root.root_public)


# -- who may sign


def test_the_first_entry_needs_root_and_device() -> None:
    body = crypto.unpacked(FIRST)[0]
    laptop = LAPTOP.signer
    for keys in (
        *((KIT.root,), (laptop,), (laptop, KIT.root), (KIT.root, STRANGER.signer), (NEXT.root, laptop)),
        *((), (KIT.root, laptop, laptop)),
    ):
        assert refused([listentry.signed(body, *keys)])


def test_a_new_root_needs_itself_and_a_member() -> None:
    """A thief of the kit's page alone, or of a device alone, cannot put his own root in its place."""
    rest, own, new, laptop = (LAST.root_public, *keys_of(NEW)), LAST.root, NEW.root, LAPTOP.signer
    for by in (
        *((new,), (laptop,), (new, new), (laptop, laptop), (laptop, new), (own, new), (new, own), (own, laptop)),
        *((new, STRANGER.signer), (new, PHONE.signer), (new, laptop, laptop), (new, laptop, STRANGER.signer)),
        *((new, own, laptop), (new, laptop, NEXT.root), (new, laptop, own, own)),
    ):
        assert refused(forged(CHAIN, b"root", *rest, by=by))
    for by in ((new, laptop), (new, laptop, own)):
        assert not refused(forged(CHAIN, b"root", *rest, by=by))


def test_a_device_needs_itself_and_somebody_who_may() -> None:
    """A replaced root and a revoked device are nobody any more; a bundle alone is no device."""
    rest, own, laptop = (b"new", STRANGER.bundle.packed), STRANGER.signer, LAPTOP.signer
    for by in (
        *((laptop,), (own,), (own, own), (own, laptop), (laptop, laptop), (laptop, own, own)),
        *((PHONE.signer, own), (KIT.root, own), (NEXT.root, own), (new_kit().root, own)),
    ):
        assert refused(forged(CHAIN, b"enrol", *rest, by=by))
    for by in ((laptop, own), (TABLET.signer, own), (LAST.root, own)):
        assert not refused(forged(CHAIN, b"enrol", *rest, by=by))


def test_a_revocation_needs_one_who_may() -> None:
    rest, laptop = (bytes.fromhex(TABLET.device_id),), LAPTOP.signer
    for by in ((), (PHONE.signer,), (STRANGER.signer,), (KIT.root,), (NEXT.root,), (laptop, laptop)):
        assert refused(forged(CHAIN, b"revoke", *rest, by=by))
    for key in (laptop, LAST.root, TABLET.signer):
        assert not refused(forged(CHAIN, b"revoke", *rest, by=(key,)))


def test_a_revoked_device_never_comes_back() -> None:
    for device in (PHONE, LAPTOP):
        assert refused(forged(CHAIN, b"enrol", b"", device.bundle.packed, by=(LAST.root, device.signer)))
        with pytest.raises(UsageError, match="enrolled before"):
            listmaking.enrol(CHAIN, device, name="", by=LAST.root, now=AT)
    assert refused(forged(CHAIN, b"revoke", bytes.fromhex(PHONE.device_id), by=(LAST.root,)))


def test_a_revoked_device_does_not_come_back_as_another_with_its_signing_key() -> None:
    from dataclasses import replace

    mixed = replace(STRANGER, ed25519=PHONE.ed25519)
    assert mixed.device_id not in (PHONE.device_id, STRANGER.device_id)
    assert refused(forged(CHAIN, b"enrol", b"", mixed.bundle.packed, by=(LAST.root, PHONE.signer)))


@pytest.mark.parametrize("kit", [KIT, NEXT, LAST])
def test_a_root_never_comes_back(kit: Kit) -> None:
    assert refused(forged(CHAIN, b"root", LAST.root_public, *keys_of(kit), by=(kit.root, LAPTOP.signer)))
    with pytest.raises(UsageError):
        listmaking.new_root(CHAIN, kit.root, LAPTOP, now=AT)


def test_a_devices_key_is_no_root_and_a_roots_no_devices() -> None:
    from dataclasses import replace

    own = LAPTOP.signer
    assert refused(forged(CHAIN, b"root", LAST.root_public, own.public, own.mldsa65, b"", by=(own, TABLET.signer)))
    both = replace(STRANGER, ed25519=KIT.root.ed25519)
    assert refused(forged(CHAIN, b"enrol", b"", both.bundle.packed, by=(LAST.root, KIT.root)))
    assert refused([listmaking.genesis(KIT.root, both, name="", now=AT)])


def test_the_last_device_stays() -> None:
    only = [FIRST]
    assert refused(forged(only, b"revoke", bytes.fromhex(LAPTOP.device_id), by=(KIT.root,)))
    with pytest.raises(UsageError, match="only device"):
        listmaking.revoke(only, LAPTOP.device_id, by=KIT.root, now=AT)


# -- shapes and bounds


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        (b"enrol", ()),
        (b"enrol", (b"name", STRANGER.bundle.packed, b"")),
        (b"enrol", (b"name", STRANGER.bundle.packed[:-1])),
        (b"enrol", (b"x" * 257, STRANGER.bundle.packed)),
        (b"enrol", (b"\xff", STRANGER.bundle.packed)),
        (b"admit", (b"name", STRANGER.bundle.packed)),
        (b"genesis", (b"name", STRANGER.bundle.packed)),
        (b"", (b"name", STRANGER.bundle.packed)),
    ],
)
def test_an_entry_of_another_shape_is_refused(kind: bytes, rest: tuple[bytes, ...]) -> None:
    assert refused(forged(CHAIN, kind, *rest, by=(LAST.root, STRANGER.signer)))


@pytest.mark.parametrize("at", ["", "yesterday", "2026-11-23", "2026-11-23T00:00:00+01:00", f"{AT[:-1]}.{'0' * 99}Z"])
def test_a_time_nobody_can_read_is_refused(at: str) -> None:
    assert refused([listmaking.genesis(KIT.root, LAPTOP, name="", now=at)])
    with pytest.raises(UsageError):
        listmaking.revoke(CHAIN, TABLET.device_id, by=LAST.root, now=at)


def test_a_clock_that_went_back_does_not_spoil_the_chain() -> None:
    later = listmaking.revoke(CHAIN, TABLET.device_id, by=LAST.root, now="2001-01-01T00:00:00Z")
    assert membership.read_chain([*CHAIN, later]).revoked[-1].until == "2001-01-01T00:00:00Z"


@given(st.text(max_size=200))
def test_any_device_name_is_kept_within_its_length_and_safe_to_show(name: str) -> None:
    from vault.text import clean

    for entry in (
        listmaking.genesis(KIT.root, STRANGER, name=name, now=AT),
        listmaking.enrol(CHAIN, STRANGER, name=name, by=LAST.root, now=AT),
    ):
        chain = [entry] if b"genesis" in entry else [*CHAIN, entry]
        assert membership.read_chain(chain).members[-1].name == clean(name[:64].encode("utf-8", "replace").decode())


def test_chains_beyond_the_bounds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, least in (
        (membership, "MOST_ENTRIES", 6),
        (membership, "MOST_BYTES", sum(map(len, CHAIN))),
        (listentry, "MOST_ENTRY_BYTES", max(map(len, CHAIN))),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, least)
            assert not refused(CHAIN)
            patch.setattr(module, name, least - 1)
            assert refused(CHAIN)
    assert refused(forged(CHAIN, b"enrol", b"", STRANGER.bundle.packed, bytes(65_536), by=(LAST.root,)))


# -- the page


def stand_in(first: int, mldsa65_seed: bytes = b"") -> Device:
    """Return the device of the page's vector: its keys are counted bytes, its RSA key three letters."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    counted = bytes(range(first, first + 32))
    signing, wrapping = Ed25519PrivateKey.from_private_bytes(counted), X25519PrivateKey.from_private_bytes(counted)
    strong = public_of(mldsa65_seed) if mldsa65_seed else b""
    device = Device(signing, LAPTOP.rsa, wrapping, b"", Kit(counted).identity, mldsa65_seed, strong)
    device.__dict__["bundle"] = Bundle(
        ed25519=signing.public_key().public_bytes_raw(),
        rsa=b"RSA",
        x25519=wrapping.public_key().public_bytes_raw(),
        mlkem768=b"",
        age=Kit(counted).recipient,
        mldsa65=strong,
    )
    return device


def test_the_page_of_the_docs_tells_the_same_vector() -> None:
    laptop, phone = stand_in(64), stand_in(128)
    old, new = Kit(bytes(range(32))), Kit(bytes(range(32, 64)))
    chain = [listmaking.genesis(old.classic_root, laptop, name="laptop", now=AT)]
    chain.append(listmaking.enrol(chain, phone, name="phone", by=laptop.signer, now=AT))
    chain.append(listmaking.new_root(chain, new.classic_root, laptop, now=AT, old=old.classic_root))
    chain.append(listmaking.revoke(chain, phone.device_id, by=new.classic_root, now=AT))
    members = membership.verify_membership(chain, new.classic_root.public)
    assert [one.device_id for one in members] == [laptop.device_id]
    told = (Path(__file__).parents[2] / "docs" / "keys.md").read_text(encoding="utf-8")
    for text in (laptop.device_id, phone.device_id, membership.vault_id_of(chain), new.classic_root.public.hex()):
        assert text in told
    for entry in chain:
        assert f"{len(entry)} bytes, {hashlib.sha256(entry).hexdigest()}" in told


def test_the_page_tells_the_vector_of_the_newer_form() -> None:
    seed, kit = bytes(range(64, 96)), Kit(bytes(range(32)))
    laptop = stand_in(64, mldsa65_seed=seed)
    entry = listmaking.genesis(kit.strong_root, laptop, name="laptop", now=AT)
    body = crypto.unpacked(entry)[0]
    told = " ".join((Path(__file__).parents[2] / "docs" / "keys.md").read_text(encoding="utf-8").split())
    assert f"laptop {laptop.device_id} genesis" in told
    assert f"genesis {len(entry)} bytes, its body {hashlib.sha256(body).hexdigest()}" in told


# -- a vault that is synced: epochs, where a revoked device's log ends, chains that part

KEY = bytes(range(32))


def with_epoch(chain: list[bytes], *devices: Device, by: Device = LAPTOP, number: int = 0) -> list[bytes]:
    """Return the chain with an epoch whose key, in name, goes to these devices."""
    commitment = hashlib.sha256(b"keyferry/epoch/1" + KEY + bytes([number])).digest()
    wraps = {one.device_id: (2, b"wrap for " + one.device_id.encode()) for one in devices}
    return [*chain, listmaking.begin_epoch(chain, number, commitment, wraps, by=by.signer, now=AT)]


def synced() -> list[bytes]:
    """Return a chain as sync makes it: an epoch, one more device with its key, a revocation, a new epoch."""
    chain = with_epoch([listmaking.genesis(KIT.root, LAPTOP, name="", now=AT)], LAPTOP)
    for device in (PHONE, TABLET):
        chain.append(listmaking.enrol(chain, device, name="", by=LAPTOP.signer, now=AT))
        chain = with_epoch(chain, device)
    chain.append(listmaking.revoke(chain, PHONE.device_id, by=LAPTOP.signer, now=THEN, last=(7, bytes(range(32)))))
    return with_epoch(chain, LAPTOP, TABLET, number=1)


SYNCED = synced()


def test_an_epoch_tells_who_has_its_key() -> None:
    found = membership.read_chain(SYNCED)
    assert [(one.number, one.entry, sorted(one.wraps)) for one in found.epochs] == [
        (0, 1, sorted(one.device_id for one in (LAPTOP, PHONE, TABLET))),
        (1, 7, sorted(one.device_id for one in (LAPTOP, TABLET))),
    ]
    assert found.revoked[0].last == (7, bytes(range(32)))
    assert not found.needs_epoch


def test_after_a_revocation_an_epoch_is_needed_and_an_old_one_is_none() -> None:
    assert membership.read_chain(SYNCED[:7]).needs_epoch
    kit = (3, b"age")
    commitment = membership.read_chain(SYNCED[:7]).epochs[0].commitment
    again = listmaking.begin_epoch(SYNCED[:7], 0, commitment, {"ab" * 16: kit}, by=LAPTOP.signer, now=AT)
    assert membership.read_chain([*SYNCED[:7], again]).needs_epoch


def test_any_byte_altered_in_a_synced_chain_is_refused() -> None:
    """In all entries that have no bundle; the others are tested above. ``main`` flips all bits of all."""
    for number, entry in enumerate(SYNCED):
        if listentry.kind_of(entry) in (b"epoch", b"revoke"):
            for place in range(len(entry)):
                wrong = bytearray(entry)
                wrong[place] ^= 1 << (7 * place + number) % 8
                assert refused([*SYNCED[:number], bytes(wrong)]), (number, place)


def test_an_epoch_needs_one_who_may() -> None:
    rest, own = (bytes(3) + b"\2", bytes(32), b""), LAPTOP.signer
    for by in ((), (PHONE.signer,), (STRANGER.signer,), (NEXT.root,), (own, own), (own, KIT.root)):
        assert refused(forged(SYNCED, b"epoch", *rest, by=by))
    for key in (own, TABLET.signer, KIT.root):
        assert not refused(forged(SYNCED, b"epoch", *rest, by=(key,)))


def wrap_for(device_id: str, suite: int = 1) -> bytes:
    return crypto.packed(bytes.fromhex(device_id), bytes([suite]), b"wrapped")


@pytest.mark.parametrize(
    "rest",
    [
        (),
        (bytes(3) + b"\2", bytes(32)),
        (bytes(3) + b"\2", bytes(32), b"", b""),
        (b"\2", bytes(32), b""),
        (bytes(3) + b"\2", bytes(31), b""),
        (bytes(3) + b"\3", bytes(32), b""),  # leaves one out
        (bytes(3) + b"\1", bytes(32), b""),  # another key for one that is there
        (bytes(3) + b"\2", bytes(32), b"\0"),
        *(
            (bytes(3) + b"\2", bytes(32), crypto.packed(*wraps))
            for wraps in (
                (b"",),
                (wrap_for(PHONE.device_id),),  # for one that was revoked
                (wrap_for(STRANGER.device_id),),
                (wrap_for(LAPTOP.device_id, 0),),
                (wrap_for(LAPTOP.device_id, 4),),
                (wrap_for(LAPTOP.device_id, membership.KIT_SUITE),),  # a device's key that no device can open
                (wrap_for(LAPTOP.device_id), wrap_for(LAPTOP.device_id, 2)),
                (wrap_for("ab" * 15, 3),),
                (wrap_for(LAPTOP.device_id) + crypto.packed(b"more"),),
            )
        ),
    ],
)
def test_an_epoch_of_another_shape_is_refused(rest: tuple[bytes, ...]) -> None:
    assert refused(forged(SYNCED, b"epoch", *rest, by=(LAPTOP.signer,)))


def test_a_key_is_brought_to_a_device_once() -> None:
    """Nobody replaces the wrapped key of another."""
    commitment = membership.read_chain(SYNCED).epochs[1].commitment
    rest = (bytes(3) + b"\1", commitment)
    assert refused(forged(SYNCED, b"epoch", *rest, crypto.packed(wrap_for(TABLET.device_id)), by=(LAPTOP.signer,)))
    assert not refused(forged(SYNCED, b"epoch", *rest, crypto.packed(wrap_for("ab" * 16, 3)), by=(LAPTOP.signer,)))


@pytest.mark.parametrize(
    "upto", [(b"",), (bytes(8),), (bytes(7), bytes(32)), (bytes(8), bytes(31)), (bytes(8), bytes(32), b"")]
)
def test_an_end_of_a_log_of_another_shape_is_refused(upto: tuple[bytes, ...]) -> None:
    tablet = bytes.fromhex(TABLET.device_id)
    assert refused(forged(SYNCED, b"revoke", tablet, *upto, by=(LAPTOP.signer,)))
    assert not refused(forged(SYNCED, b"revoke", tablet, bytes(8), bytes(32), by=(LAPTOP.signer,)))


def main() -> int:
    """Flip every bit of two chains; return how many were accepted. It takes some minutes."""
    accepted = 0
    for name, chain in (("all kinds", CHAIN), ("synced", SYNCED)):
        for number, entry in enumerate(chain):
            for bit in range(8 * len(entry)):
                wrong = bytearray(entry)
                wrong[bit // 8] ^= 1 << bit % 8
                accepted += not refused([*chain[:number], bytes(wrong)])
            print(f"{name}, entry {number}: {8 * len(entry)} bits flipped, {accepted} accepted so far", flush=True)
    return accepted


if __name__ == "__main__":
    raise SystemExit(main() > 0)
