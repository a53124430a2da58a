"""Where the backup targets are, and what was heard of their files since these were last compared with the book."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from backup import caring, targets
from backup.book import Book
from backup.caring import Doubts
from backup.watching import Event
from vault.errors import KeyferryError


class Whereabouts:
    """The targets of a book as they come and go; that is told."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._book = Book(tag="")
        self.here: dict[str, Path] = {}  # by target
        self.away: dict[str, str] = {}  # why, as told, by target
        self.vanished: set[str] = set()  # targets whose folder went, and no drive with it
        self.arrived: set[str] = set()  # targets that are to get what they lack
        self._unread: set[str] = set()  # targets whose files are to be compared with the book
        self._named: defaultdict[str, dict[str, str]] = defaultdict(dict)  # what happened to which file, by target
        self._has_returned = False  # one that may hold what others lack

    def learn(self, book: Book) -> None:
        """Take the book as it is now, and forget the targets that are no longer in it."""
        self._book = book
        known = self._targets()
        for place in (self.here, self.away, self._named):
            for gone in place.keys() - known:
                del place[gone]
        self._unread &= known

    def folders(self) -> Iterator[tuple[str, Path]]:
        """Yield where each target is, or was last."""
        for one in self._book.targets:
            yield one.id, self.here.get(one.id, Path(one.path))

    def take(self, events: Collection[Event]) -> None:
        """Note what happened at the targets."""
        unmounted = [one.path for one in events if one.kind == "unmounted"]
        targets_by_folder = {folder: target for target, folder in self.folders()}
        for one in events:
            target = targets_by_folder.get(one.path if one.kind in ("lost", "found") else one.path.parent)
            if target is None or one.kind in ("mounted", "unmounted"):
                continue
            self._unread.add(target)
            if one.kind == "lost":
                if not any(one.path.is_relative_to(point) for point in unmounted):
                    self.vanished.add(target)
            elif one.kind != "found":
                self._named[target][one.path.name] = one.kind

    def locate(self) -> bool:
        """See where each target is, and tell what has come and gone; returns whether one has come back."""
        has_come = False
        for target in self._book.targets:
            try:
                place = targets.locate(target)
            except KeyferryError as error:
                self.here.pop(target.id, None)
                if self.away.get(target.id) != error.message:
                    self.away[target.id] = error.message
                    self._say(error.message)
                continue
            self.here[target.id] = place
            if self.away.pop(target.id, None) is not None:
                self._say(f"the backup target {place} is here again")
                self.arrived.add(target.id)
                self.doubt_all()
                self._has_returned = has_come = True
        return has_come

    def doubt_all(self) -> None:
        """Have the files of every target compared with the book."""
        self._unread |= self._targets()

    def doubts(self) -> Doubts:
        """Compare the files of the targets where something happened with the book; well is well."""
        here = {target: place for target, place in self.here.items() if target in self._unread}
        found = caring.doubts(self._book, here, self._named, has_returned=self._has_returned)
        if not found.sets:
            self._forget(here)
        return found

    def settle(self) -> None:
        """Take the doubts about the targets that are here as looked into."""
        self._forget(self._unread & self.here.keys())

    def _forget(self, read: Iterable[str]) -> None:
        for target in read:
            self._unread.discard(target)
            self._named.pop(target, None)
        self._has_returned = False

    def _targets(self) -> set[str]:
        return {one.id for one in self._book.targets}
