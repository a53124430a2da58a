"""Which of several sets may be believed on a machine that knows nothing but the kit.

A file's name proves nothing: what counts is the signed time, counter and membership chain. A revoked device still knows
whom to seal to and has a key that was once valid, so a set is refused as outranked if another one in the same folder
knows of later changes to the devices and no longer has its device among them, unless that other one lists the set, by
id and digest, among those it believes in. What cannot be excluded is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from backup import reading, targets
from backup.payload import Manifest
from backup.reading import Opened, Opener
from vault import keys, moment
from vault.errors import KeyferryError
from vault.moment import Instant

_OLD = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(minutes=5)
_MOST_FILES = 10_000
_NEVER = datetime.min.replace(tzinfo=UTC)


class Rejected(msgspec.Struct, frozen=True):
    """A file in the folder that is not believed, and why."""

    path: Path
    error: KeyferryError

    def __repr__(self) -> str:
        return f"Rejected({self.path})"


class Survey(msgspec.Struct, frozen=True):
    """The sets of one vault in one folder whose signatures hold, the best first; ``unread`` files were too many."""

    sets: tuple[Opened, ...]
    outranked: tuple[Opened, ...]
    rejected: tuple[Rejected, ...]
    unread: int = 0

    def is_outranked(self, path: Path) -> bool:
        """Tell whether this set was refused as outranked."""
        return any(one.path == path for one in self.outranked)


def survey(folder: Path, opener: Opener, now: Instant, *, vault: str | None = None, also: Path | None = None) -> Survey:
    """Read the manifest of every set in the folder, and of the file ``also`` whatever its name.

    With ``vault`` only that vault's sets count; without it the one that the best set belongs to. Raises ``CannotRead``.
    """
    paths = list(targets.files(folder))[::-1]  # the newest names first, should there be too many
    unread = max(0, len(paths) - _MOST_FILES)
    del paths[_MOST_FILES:]
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
        vault = newest_first(found, now)[0].manifest.vault
    own = [one for one in found if one.manifest.vault == vault]
    outranked = tuple(_outranked(own))
    refused = {one.path for one in outranked}
    trusted = newest_first((one for one in own if one.path not in refused), now)
    return Survey(trusted, outranked, tuple(rejected), unread)


def newest_first(sets: Iterable[Opened], now: Instant) -> tuple[Opened, ...]:
    """Return the sets in their order of age, by what they are signed to be.

    A device's counter is surer than its clock: a set is as new as the newest of its device up to its counter, and a
    time that is still to come says nothing.
    """
    latest = moment.to_datetime(now) + _CLOCKS_DIFFER
    newest: dict[str, datetime] = {}
    ages: list[tuple[datetime, int, str, int]] = []
    ordered = sorted(sets, key=lambda one: one.manifest.counter)
    for number, one in enumerate(ordered):
        manifest = one.manifest
        at = moment.to_datetime(manifest.made_at)
        known = newest.get(manifest.device, _NEVER)
        newest[manifest.device] = max(known, at) if at <= latest else known
        ages.append((newest[manifest.device], manifest.counter, manifest.set, number))
    return tuple(ordered[number] for *_, number in sorted(ages, reverse=True))


def doubts(chosen: Opened, survey: Survey, now: Instant) -> tuple[str, ...]:
    """Return, as sentences, what cannot be excluded about a set, and what is missing beside it."""
    manifest, said = chosen.manifest, list(_of_origin(chosen, survey))
    passed = moment.to_datetime(now) - moment.to_datetime(manifest.made_at)
    if passed > _OLD:
        said.append(f"this backup is {passed.days} days old: what was changed since is not in it")
    if passed < -_CLOCKS_DIFFER:
        said.append("this backup says that it was made in the future: a clock was wrong, here or there")
    newer = _before(manifest.set, survey.sets)
    if newer:
        count = "a newer backup is" if len(newer) == 1 else f"{len(newer)} newer backups are"
        said.append(f"{count} here, the newest of {next(iter(newer.values())).made_at}")
    gone = sorted(missing(survey.sets))
    if gone:
        count = "a backup that others list is" if len(gone) == 1 else f"{len(gone)} backups that others list are"
        said.append(f"{count} missing here: {', '.join(gone[:5])}")
    if survey.unread:
        said.append(f"{survey.unread:,} files here were too many to look into")
    return tuple(said)


def _of_origin(chosen: Opened, survey: Survey) -> Iterator[str]:
    here = (*survey.sets, *survey.outranked)
    if len({one.manifest.set for one in here}) == 1:
        yield (
            "this is the only backup of its vault here: whether there is a newer one, or its device was revoked since, "
            "cannot be told"
        )
    elif len({one.manifest.device for one in here}) == 1 and len(keys.read_chain(chosen.signed.chain).members) > 1:
        yield "all backups here are by one of several devices: whether it was revoked since cannot be told"


def _before(set_id: str, sets: Iterable[Opened]) -> dict[str, Manifest]:
    """Return the sets that are newer than the one with this id, by id."""
    newer: dict[str, Manifest] = {}
    for one in sets:
        if one.manifest.set == set_id:
            break
        newer[one.manifest.set] = one.manifest
    return newer


def missing(sets: Iterable[Opened]) -> frozenset[str]:
    """Return the ids of sets that should be in the folder: the newest manifest of each device lists them for the target
    whose id the folder's marker has, not as pruned, and they are not there."""
    found = list(sets)
    there = {one.manifest.set for one in found}
    newest: dict[str, Manifest] = {}
    for one in sorted(found, key=lambda one: one.manifest.counter):
        newest[one.manifest.device] = one.manifest
    markers = {targets.marker_of(folder) for folder in {one.path.parent for one in found}}
    listed = {id_ for one in newest.values() for held in one.targets if held.target in markers for id_ in held.sets}
    pruned = {id_ for one in found for held in one.manifest.targets for id_ in held.pruned}
    return frozenset(listed - there - pruned)


def _outranked(sets: Sequence[Opened]) -> Iterator[Opened]:
    """Yield the sets whose device is gone from a chain that stands above theirs, where nobody vouches for them."""
    by_chain: dict[tuple[bytes, ...], list[Opened]] = {}
    for one in sets:
        by_chain.setdefault(one.signed.chain, []).append(one)
    devices = {chain: {member.device_id for member in keys.read_chain(chain).members} for chain in by_chain}
    for chain, held in by_chain.items():
        above = [other for other in by_chain if other != chain and keys.outranks(other, chain)]
        for one in held:
            gone = [other for other in above if one.manifest.device not in devices[other]]
            if gone and not _is_vouched(one, (other.manifest for chain in gone for other in by_chain[chain])):
                yield one


def _is_vouched(one: Opened, manifests: Iterable[Manifest]) -> bool:
    """Tell whether one of the manifests lists this very file, be it as pruned since."""
    digests = {digest for manifest in manifests for digest in _digests(manifest, one.manifest.set)}
    try:
        return bool(digests) and reading.digest_of(one.path) in digests
    except KeyferryError:
        return False


def _digests(manifest: Manifest, set_id: str) -> Iterator[str]:
    if manifest.previous is not None and manifest.previous.set == set_id:
        yield manifest.previous.digest
    for listed in manifest.targets:
        for known in (listed.sets, listed.pruned):
            if set_id in known:
                yield known[set_id]
