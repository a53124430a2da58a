"""Of two lists of devices that parted, every device takes the same one to stand above the other."""

from __future__ import annotations

from tests.vault.test_membership import (
    AT,
    CHAIN,
    FIRST,
    KIT,
    LAPTOP,
    NEW,
    NEXT,
    PHONE,
    STRANGER,
    SYNCED,
    TABLET,
    refused,
    with_epoch,
)
from vault import listmaking, seniority
from vault.device import Device
from vault.signing import Signer


def three() -> list[bytes]:
    """Return a chain with laptop, phone and tablet, in the order of their seniority."""
    chain = [FIRST]
    for device in (PHONE, TABLET):
        chain.append(listmaking.enrol(chain, device, name="", by=LAPTOP.signer, now=AT))
    return chain


def revoking(chain: list[bytes], whom: Device, by: Signer) -> list[bytes]:
    return [*chain, listmaking.revoke(chain, whom.device_id, by=by, now=AT)]


def test_a_longer_chain_outranks_its_beginnings() -> None:
    for end in range(1, len(SYNCED)):
        assert seniority.outranks(SYNCED, SYNCED[:end])
        assert not seniority.outranks(SYNCED[:end], SYNCED)
    assert not seniority.outranks(SYNCED, SYNCED)
    assert not seniority.outranks(SYNCED, CHAIN)


def test_of_two_that_revoke_each_other_the_senior_stays() -> None:
    begun = three()
    devices = (LAPTOP, PHONE, TABLET)
    for senior in range(3):
        for junior in range(senior + 1, 3):
            above = revoking(begun, devices[junior], devices[senior].signer)
            below = revoking(begun, devices[senior], devices[junior].signer)
            assert seniority.outranks(above, below)
            assert not seniority.outranks(below, above)
            assert seniority.outranks(revoking(begun, devices[senior], KIT.root), above)


def test_a_revocation_is_not_undone_by_going_on_from_before_it() -> None:
    begun = three()
    revoked = revoking(begun, TABLET, PHONE.signer)
    for by in (TABLET.signer, LAPTOP.signer, KIT.root):
        other = [*begun, listmaking.enrol(begun, STRANGER, name="", by=by, now=AT)]
        other = with_epoch(other, STRANGER)
        assert seniority.outranks(revoked, other)
        assert not seniority.outranks(other, revoked)


def test_a_root_of_his_own_does_not_make_a_thief_senior() -> None:
    begun = three()
    thief = [*begun, listmaking.new_root(begun, NEW.root, TABLET, now=AT)]
    thief = revoking(thief, LAPTOP, NEW.root)
    assert seniority.outranks(revoking(begun, TABLET, PHONE.signer), thief)
    owner = [*begun, listmaking.new_root(begun, NEXT.root, TABLET, now=AT, old=KIT.root)]
    assert seniority.outranks(revoking(owner, LAPTOP, NEXT.root), revoking(begun, TABLET, LAPTOP.signer))


def test_all_chains_that_part_stand_in_one_order() -> None:
    """So devices that get them in any sequence end with the same one. Found by hand once: three in a circle."""
    begun = three()
    begun.append(listmaking.enrol(begun, STRANGER, name="", by=LAPTOP.signer, now=AT))
    middle = [*begun, listmaking.new_root(begun, NEW.root, STRANGER, now=AT)]
    owned = [*begun, listmaking.new_root(begun, NEXT.root, TABLET, now=AT, old=KIT.root)]
    epoch = with_epoch(begun, PHONE)
    chains = [begun, middle, owned, epoch]
    for base, keys in (
        (begun, (KIT.root, PHONE.signer, TABLET.signer)),
        (middle, (NEW.root, PHONE.signer)),
        (owned, (NEXT.root, TABLET.signer)),
        (epoch, (KIT.root, STRANGER.signer)),
    ):
        chains += [revoking(base, STRANGER if at else LAPTOP, key) for at, key in enumerate(keys)]
    chains += [revoking(chains[4], PHONE, KIT.root), revoking(chains[7], PHONE, NEW.root)]
    assert not any(map(refused, chains))
    above = {(a, b) for a, one in enumerate(chains) for b, other in enumerate(chains) if seniority.outranks(one, other)}
    for a in range(len(chains)):
        for b in range(a):
            assert ((a, b) in above) != ((b, a) in above)
    wins = sorted(sum((a, b) in above for b in range(len(chains))) for a in range(len(chains)))
    assert wins == list(range(len(chains)))  # so for a sorted order, for a circle not
