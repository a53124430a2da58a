"""The vault, open for one piece of the agent's work: what the agent can do with it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backup import book as books
from backup import care, making
from backup.book import Book, Drill
from backup.care import Finding, Pruned
from backup.making import Outcome
from vault import keys, moment
from vault.errors import UsageError
from vault.moment import Instant
from vault.store import Store

if TYPE_CHECKING:
    from vault.sync.keeping import Turn


class Desk:
    """An open vault; each call raises as the function it is named after."""

    def __init__(self, store: Store, home: Path, clock: Callable[[], Instant]) -> None:
        self._store, self._home, self._clock = store, home, clock

    @property
    def counter(self) -> str:
        """What every process changes when it closes a vault that it has changed."""
        return self._store.meta("counter") or "0"

    @property
    def left(self) -> str:
        """What ``counter`` is once this desk is closed, if no other process changes the vault meanwhile."""
        return str(int(self.counter) + 1) if self._store.changes else self.counter

    @property
    def reminder(self) -> str:
        """A sentence about a kit that is not safe yet, or nothing."""
        return keys.kit_reminder(self._store) or ""

    @property
    def is_synced(self) -> bool:
        """Whether there is a relay or folder to sync with."""
        from vault.sync import keeping

        return keeping.is_on(self._store)

    def sync(self) -> Turn:
        """Send what was changed here, take in what others have changed."""
        from vault.sync import keeping

        return keeping.turn(self._store, moment.to_millis(self._clock()))

    def book(self) -> Book:
        """Return what is remembered."""
        return books.load(self._store, self._home)

    def change(self, how: Callable[[Book], Book]) -> Book:
        """Change what is remembered."""
        return books.change(self._store, self._home, how)

    def create(self, *, if_changed: bool) -> Outcome:
        """Make a set at every target."""
        return making.create(self._store, self._home, if_changed=if_changed, clock=self._clock)

    def prune(self) -> tuple[Pruned, ...]:
        """Remove what newer sets make needless, as far as no person has to be asked."""
        return care.prune(self._store, self._home, clock=self._clock)

    def drill(self) -> Drill:
        """Restore the newest set into memory."""
        return care.drill(self._store, self._home, clock=self._clock)

    def verify(self, ids: Sequence[str]) -> tuple[Finding, ...]:
        """Read these sets at every target, and heal what can be healed."""
        return care.verify(self._store, self._home, ids, repair=True, clock=self._clock)


@contextmanager
def opened(home: Path, clock: Callable[[], Instant]) -> Iterator[Desk]:
    """Open the vault for one piece of work; nobody is asked for anything.

    Raises ``UsageError`` for a vault under a passphrase, else as ``vault.keys.open_vault``.
    """
    with keys.open_vault(home, passphrase=_nobody) as store:
        yield Desk(store, home, clock)


def _nobody() -> str:
    raise UsageError(
        "a vault under a passphrase cannot be backed up or synced while nobody is there",
        hint="keyferry key move --key-file PATH, or --keyring",
    )
