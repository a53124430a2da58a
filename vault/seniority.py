"""Which of two lists of devices stands above the other where they part: whoever compares finds the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vault.listentry import kind_of, signers_of


def outranks(one: Sequence[bytes], other: Sequence[bytes]) -> bool:
    """Tell whether one chain knows more than another, or stands above it where the two part.

    A chain outranks every beginning of itself. Of two that part, one that revokes a device after the parting stands
    above one that does not: nobody undoes a revocation by going on from before it. Of two that both revoke, the one
    stands above whose first revocation was signed by the most senior (``_seniority``), of two that both do not, the one
    whose first own entry was; that is how two devices that revoke each other at once are told apart. What is left is
    decided by the hash of the first own entry. It is an order: whoever compares any number of chains, in whatever
    sequence, finds the same one above all. Both chains must hold (``read_chain``).
    """
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    if shared == len(other):
        return len(one) > len(other)
    if not shared or shared == len(one):
        return False
    return _standing(one, shared) < _standing(other, shared)


def _standing(chain: Sequence[bytes], number: int) -> tuple[bool, int, bytes]:
    """Return what orders chains that part at an entry; the lowest stands above. The last part only breaks a tie."""
    revoking = (place for place in range(number, len(chain)) if kind_of(chain[place]) == b"revoke")
    place = next(revoking, None)
    first = number if place is None else place
    ranks = _seniority(chain[:first])
    senior = min(ranks.get(signer, len(chain)) for signer in signers_of(chain[first]))
    return place is None, senior, hashlib.sha256(chain[number]).digest()


def _seniority(chain: Sequence[bytes]) -> dict[bytes, int]:
    """Return how senior each signing key is, the first root with 0: devices in the order of their enrolment.

    A new root is what the most senior of those is who signed it: so a thief's own root does not raise him, and a kit
    that the old one signed stands where that stood. Nothing depends on where another chain parts from this one.
    """
    ranks: dict[bytes, int] = {}
    for place, entry in enumerate(chain):
        signers = signers_of(entry)
        match kind_of(entry):
            case b"genesis":
                ranks = {signers[0]: 0, signers[1]: 1}
            case b"enrol":
                ranks[signers[1]] = place + 1
            case b"root":
                ranks[signers[0]] = min(ranks[one] for one in signers[1:])
    return ranks
