"""The lies that only a shortened log makes possible: ``python -m tests.evil_snapshots SWITCH ...``, as ``evil_relay``.

With ``--aim snap`` those of ``evil_relay`` hit the newest part of a snapshot instead of the newest entry. What is
dropped is for the test to say: it drops nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from tests.evil_relay import EvilRelay, main
from vault import crypto
from vault.relay.checking import Known
from vault.sync import entry, settling, wire
from vault.sync.entry import Header
from vault.sync.settling import Snapshot
from vault.sync.wire import Arrived, Heads, Page

Place = tuple[str, int]
Hidden = Callable[[Sequence[Header], Sequence[Snapshot]], set[Place]]


def headers(page: Page) -> list[Header]:
    """Return the headers of a page's entries, by device and number."""
    found = [entry.read_header(one.data) for one in page.entries if one.kind == wire.ENTRY]
    return sorted(found, key=lambda one: (one.device, one.seq))


def snapshots_in(found: Sequence[Header]) -> list[Snapshot]:
    """Return the snapshots among entries, the newest last."""
    devices = {one.device for one in found}
    closed = [one for device in devices for one in settling.snapshots(each for each in found if each.device == device)]
    return sorted(closed, key=lambda one: one.hlc)


def cut_places(found: Sequence[Header], one: Snapshot) -> set[Place]:
    """Return the places of the entries that a snapshot stands for."""
    return {(each.device, each.seq) for each in found if each.seq <= _reach(one, each.device)}


def _is_from(header: Header, one: Snapshot) -> bool:
    return header.device == one.device and header.seq >= one.first


def _reach(one: Snapshot, device: str) -> int:
    return one.cut[device].seq if device in one.cut else 0


class EvilOfSnapshots(EvilRelay):
    """The relay that lies about snapshots."""

    _ends: ClassVar[dict[str, wire.Head]] = {}

    def drop_settled(self) -> int:
        """Drop nothing: what was dropped is for the test to say."""
        return 0

    def _without(self, page: Page, hidden: Hidden) -> Page:
        found = headers(page)
        gone = hidden(found, snapshots_in(found))
        left = [one for one in found if (one.device, one.seq) not in gone]
        self._ends = {one.device: wire.Head(one.device, one.seq, one.hash) for one in left}

        def stays(one: Arrived) -> bool:
            if one.kind != wire.ENTRY:
                return True
            header = entry.read_header(one.data)
            return (header.device, header.seq) not in gone

        return replace(page, entries=tuple(filter(stays, page.entries)))

    # -- what is kept back

    def page_drops_before_a_snapshot(self, page: Page, known: Known) -> Page:
        """Drop the first entries of every log, though nothing stands for them."""

        def hidden(found: Sequence[Header], made: Sequence[Snapshot]) -> set[Place]:
            return {(one.device, one.seq) for one in found if one.seq <= 2}

        return self._without(page, hidden)

    def page_drops_behind_the_cut(self, page: Page, known: Known) -> Page:
        """Drop the first change behind the newest snapshot of each log."""

        def hidden(found: Sequence[Header], made: Sequence[Snapshot]) -> set[Place]:
            ends = {one.device: one.end for one in made}
            newest = made[-1:]
            behind = [
                one
                for one in found
                if one.kind == b"op"
                and one.seq > max(ends.get(one.device, 0), *(_reach(each, one.device) for each in newest), 0)
            ]
            first: dict[str, int] = {}
            for one in behind:
                first.setdefault(one.device, one.seq)
            return set(first.items())

        return self._without(page, hidden)

    def _of_newest(self, page: Page, which: Callable[[Snapshot], set[int]]) -> Page:
        def hidden(found: Sequence[Header], made: Sequence[Snapshot]) -> set[Place]:
            return {(made[-1].device, number) for number in which(made[-1])} if made else set()

        return self._without(page, hidden)

    def page_first_part_withheld(self, page: Page, known: Known) -> Page:
        return self._of_newest(page, lambda one: {one.first})

    def page_middle_part_withheld(self, page: Page, known: Known) -> Page:
        return self._of_newest(page, lambda one: {one.first + 1})

    def page_last_part_withheld(self, page: Page, known: Known) -> Page:
        return self._of_newest(page, lambda one: {one.last})

    def page_end_withheld(self, page: Page, known: Known) -> Page:
        return self._of_newest(page, lambda one: {one.end})

    def page_all_withheld(self, page: Page, known: Known) -> Page:
        """Show who belongs to the vault, and no entry."""
        return replace(page, entries=tuple(one for one in page.entries if one.kind == wire.MEMBER))

    def heads_all_withheld(self, heads: Heads) -> Heads:
        """Say that there is none."""
        return replace(heads, devices=tuple(one for one in heads.devices if one.device_id == self.asker))

    def page_own_withheld(self, page: Page, known: Known) -> Page:
        """Keep from a device what it has written itself."""
        return self._without(
            page, lambda found, made: {(one.device, one.seq) for one in found if one.device == self.asker}
        )

    def page_older_snapshot(self, page: Page, known: Known) -> Page:
        """Show the older snapshot and end its log there, but say how far it goes."""

        def hidden(found: Sequence[Header], made: Sequence[Snapshot]) -> set[Place]:
            return {(one.device, one.seq) for one in found if made and _is_from(one, made[-1])}

        return self._without(page, hidden)

    page_older_snapshot_as_newest = page_older_snapshot
    page_older_snapshot_in_the_end = page_older_snapshot

    async def heads_of(self, known: Known) -> Heads:
        """Say also that the log of who made it goes no further: at once, or once the pages were asked for."""
        heads = await super().heads_of(known)
        if self.lie not in ("older_snapshot_as_newest", "older_snapshot_in_the_end"):
            return heads
        if self.lie == "older_snapshot_as_newest":
            await self.page_of(known, 0, wire.MOST_PAGE_ENTRIES)
        return replace(heads, devices=tuple(self._ends.get(one.device_id, one) for one in heads.devices))

    def page_snapshot_too_early(self, page: Page, known: Known) -> Page:
        """Give a snapshot, but not the entries that it stands for."""

        def hidden(found: Sequence[Header], made: Sequence[Snapshot]) -> set[Place]:
            return cut_places(found, made[-1]) if made else set()

        return self._without(page, hidden)

    # -- mixtures

    def page_parts_mixed(self, page: Page, known: Known) -> Page:
        """Put the last part of the older snapshot in the place of the newer one's."""
        made = snapshots_in(headers(page))
        if len(made) < 2:
            return page
        bodies = {self._place(one): one.data for one in page.entries if one.kind == wire.ENTRY}
        old, new = made[-2], made[-1]
        return self._replaced(page, {(new.device, new.last): bodies[old.device, old.last]})

    def page_parts_mixed_and_renumbered(self, page: Page, known: Known) -> Page:
        """Give the older part also the number, the link and the hash that the newer one has."""
        made = snapshots_in(headers(page))
        if len(made) < 2:
            return page
        bodies = {self._place(one): one.data for one in page.entries if one.kind == wire.ENTRY}
        old, new = made[-2], made[-1]
        _, sealed, signature = crypto.unpacked(bodies[old.device, old.last])
        header, _, _ = crypto.unpacked(bodies[new.device, new.last])
        parts = list(crypto.unpacked(header))
        parts[11:] = crypto.unpacked(crypto.unpacked(bodies[old.device, old.last])[0])[11:]
        return self._replaced(page, {(new.device, new.last): crypto.packed(crypto.packed(*parts), sealed, signature)})

    def page_parts_exchanged(self, page: Page, known: Known) -> Page:
        """Give two parts of the newest snapshot under each other's arrival, which is no lie that counts."""
        made = snapshots_in(headers(page))
        bodies = {self._place(one): one.data for one in page.entries if one.kind == wire.ENTRY}
        if not made or made[-1].first == made[-1].last:
            return page
        one, other = (made[-1].device, made[-1].first), (made[-1].device, made[-1].last)
        return self._replaced(page, {one: bodies[other], other: bodies[one]})

    def _place(self, one: Arrived) -> Place:
        header = entry.read_header(one.data)
        return header.device, header.seq

    def _replaced(self, page: Page, new: dict[Place, bytes]) -> Page:
        return replace(
            page,
            entries=tuple(
                replace(one, data=new.get(self._place(one), one.data)) if one.kind == wire.ENTRY else one
                for one in page.entries
            ),
        )

    OF_SNAPSHOTS: ClassVar[tuple[str, ...]] = (
        "drops_before_a_snapshot",
        "drops_behind_the_cut",
        "first_part_withheld",
        "middle_part_withheld",
        "last_part_withheld",
        "end_withheld",
        "snapshot_too_early",
        "all_withheld",
        "own_withheld",
        "older_snapshot",
        "older_snapshot_as_newest",
        "older_snapshot_in_the_end",
        "parts_mixed",
        "parts_mixed_and_renumbered",
        "parts_exchanged",
    )
    SWITCHES: ClassVar[tuple[str, ...]] = (*EvilRelay.SWITCHES, *OF_SNAPSHOTS)


if __name__ == "__main__":
    main(EvilOfSnapshots)
