"""Which of several sets may be believed on a machine that knows nothing but the kit.

A file's name proves nothing: what counts is the signed time, counter and membership chain. A revoked device still knows
whom to seal to and has a key that was once valid, so a set is refused as outranked if another one in the same folder
knows of later changes to the devices and no longer has its device among them, unless that other one lists the set, by
id and digest, among those it believes in. What cannot be excluded is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from backup import reading, targets
from backup.payload import Manifest
from backup.reading import Opened, Opener
from vault import keys, moment
from vault.errors import KeyferryError
from vault.moment import Instant

_OLD = timedelta(days=30)
_MOST_FILES = 10_000


class Rejected(msgspec.Struct, frozen=True):
    """A file in the folder that is not believed, and why."""

    path: Path
    error: KeyferryError

    def __repr__(self) -> str:
        return f"Rejected({self.path})"


class Survey(msgspec.Struct, frozen=True):
    """The sets of one vault in one folder whose signatures hold; the best first."""

    sets: tuple[Opened, ...]
    outranked: tuple[Opened, ...]
    rejected: tuple[Rejected, ...]

    def is_outranked(self, path: Path) -> bool:
        """Tell whether this set was refused as outranked."""
        return any(one.path == path for one in self.outranked)


def survey(folder: Path, opener: Opener, *, vault: str | None = None, also: Path | None = None) -> Survey:
    """Read the manifest of every set in the folder, and of the file ``also`` whatever its name.

    With ``vault`` only that vault's sets count; without it the one that the best set belongs to. Raises ``CannotRead``.
    """
    paths = list(targets.files(folder))[:_MOST_FILES]
    if also is not None and also not in paths:
        paths.append(also)
    found: list[Opened] = []
    rejected: list[Rejected] = []
    for path in paths:
        try:
            found.append(reading.peek(path, opener))
        except KeyferryError as error:
            rejected.append(Rejected(path, error))
    if vault is None and also is not None:
        vault = next((one.manifest.vault for one in found if one.path == also), None)
    if vault is None and found:
        vault = max(found, key=age).manifest.vault
    own = [one for one in found if one.manifest.vault == vault]
    outranked = [one for one in own if _is_outranked(one, own)]
    trusted = sorted((one for one in own if one not in outranked), key=age, reverse=True)
    return Survey(tuple(trusted), tuple(outranked), tuple(rejected))


def doubts(chosen: Opened, survey: Survey, now: Instant) -> tuple[str, ...]:
    """Return, as sentences, what cannot be excluded about a set, and what is missing beside it."""
    manifest, said = chosen.manifest, []
    passed = moment.to_datetime(now) - moment.to_datetime(manifest.made_at)
    if len(survey.sets) + len(survey.outranked) == 1:
        said.append(
            "this is the only backup of its vault here: whether there is a newer one, or its device was revoked since, "
            "cannot be told"
        )
    if passed > _OLD:
        said.append(f"this backup is {passed.days} days old: what was changed since is not in it")
    if passed < -timedelta(minutes=5):
        said.append("this backup says that it was made in the future: a clock was wrong, here or there")
    newer = [one for one in survey.sets if age(one) > age(chosen)]
    if newer:
        said.append(f"{len(newer)} newer backups are here, the newest of {newer[0].manifest.made_at}")
    gone = missing(survey.sets)
    if gone:
        said.append(f"{len(gone)} backups that others list are missing here: {', '.join(sorted(gone)[:5])}")
    return tuple(said)


def missing(sets: Iterable[Opened]) -> frozenset[str]:
    """Return the ids of sets that should be in the folder: the newest manifest of each device lists them for the target
    whose id the folder's marker has, not as pruned, and they are not there."""
    found = list(sets)
    there = {one.manifest.set for one in found}
    newest: dict[str, Opened] = {}
    for one in sorted(found, key=age):
        newest[one.manifest.device] = one
    gone: set[str] = set()
    for one in newest.values():
        marker = targets.marker_of(one.path.parent)
        for listed in one.manifest.targets:
            if listed.target == marker:
                gone |= set(listed.sets) - there
    pruned = {id_ for one in found for listed in one.manifest.targets for id_ in listed.pruned}
    return frozenset(gone - pruned)


def _is_outranked(one: Opened, others: Sequence[Opened]) -> bool:
    above = [other for other in others if keys.outranks(other.signed.chain, one.signed.chain)]
    gone = [other for other in above if keys.read_chain(other.signed.chain).member(one.manifest.device) is None]
    return bool(gone) and not any(_vouches(other.manifest, one) for other in gone)


def _vouches(manifest: Manifest, one: Opened) -> bool:
    digests = {listed.sets.get(one.manifest.set) for listed in manifest.targets}
    if manifest.previous is not None and manifest.previous.set == one.manifest.set:
        digests.add(manifest.previous.digest)
    digests.discard(None)
    try:
        return bool(digests) and reading.digest_of(one.path) in digests
    except KeyferryError:
        return False


def age(one: Opened) -> tuple[Instant, int, str]:
    """Return what orders sets by age, by what they are signed to be."""
    return one.manifest.made_at, one.manifest.counter, one.manifest.set
