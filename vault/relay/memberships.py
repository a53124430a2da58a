"""Which devices belong to a vault, as far as the relay has read it: looked up once, and remembered within a bound."""

from __future__ import annotations

from collections import OrderedDict

from vault.relay import checking
from vault.relay.checking import Known
from vault.relay.quota import Limits
from vault.relay.refusals import gone, no_vault
from vault.relay.storage import State, Storage
from vault.relay.threads import Threads

_MOST_BYTES = 512 << 20  # 14,000 vaults of five devices; a vault asked for anew costs 3 ms


class Memberships:
    """The memberships of a relay's vaults; those that nobody asked for longest are forgotten beyond 512 MiB."""

    def __init__(self, storage: Storage, limits: Limits, threads: Threads) -> None:
        self._storage, self._limits, self._threads = storage, limits, threads
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._bytes = 0

    async def of(self, vault: str, *, fresh: bool) -> Known:
        """Return a vault's membership; ``fresh`` looks whether it is still the newest. Raises ``Refused``."""
        cached = self._known.get(vault)
        if cached is not None and not fresh:
            self._known.move_to_end(vault)
            return cached
        return (await self.now(vault))[0]

    async def now(self, vault: str) -> tuple[Known, State]:
        """Return the newest membership, and how far the vault is. Raises ``Refused``."""
        cached = self._known.get(vault)
        found, state = await self._threads.run(self._looked_up, bytes.fromhex(vault), cached)
        if found is not cached:
            self.remember(found)
        return found, state

    async def read(self, vault: bytes) -> Known:
        """Return the membership that the database has, also of a vault in its days of grace."""
        return await self._threads.run(self._read, vault)

    def remember(self, known: Known) -> None:
        """Keep the newest membership of a vault at hand."""
        self.forget(known.vault)
        self._known[known.vault] = known
        self._bytes += _weight(known)
        while self._bytes > _MOST_BYTES and len(self._known) > 1:
            self.forget(next(iter(self._known)))

    def forget(self, vault: str) -> None:
        """Have the database asked the next time."""
        forgotten = self._known.pop(vault, None)
        self._bytes -= _weight(forgotten) if forgotten is not None else 0

    def _looked_up(self, vault: bytes, cached: Known | None) -> tuple[Known, State]:
        state = self._storage.state(vault)
        if state is None:
            raise no_vault()
        if state.deleted:
            raise gone()
        if cached is not None and cached.newest == state.head:
            return cached, state
        return self._read(vault), state

    def _read(self, vault: bytes) -> Known:
        return checking.restored_known(self._storage.members(vault), self._limits)


def _weight(known: Known) -> int:
    return sum(map(len, (*known.chain, *known.lost.values()))) + 2048 * len(known.devices)
