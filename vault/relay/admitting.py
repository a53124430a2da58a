"""Who is let in: a request that a member signed just now, that was not sent before, and that is not one too many.

What was seen of whom is kept in memory, each worker of a relay its own.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.requests import Request

from vault.relay import checking, reading
from vault.relay.checking import Known
from vault.relay.quota import Buckets, Limits, Nonces
from vault.relay.refusals import Refused, later
from vault.sync import wire

_PROVES_NOTHING = frozenset({400, 401, 403, 404, 410, 413, 422})


class Gate:
    """Lets requests about vaults in, or raises ``Refused``."""

    def __init__(self, limits: Limits, *, invite: str, clock: Callable[[], float], mono: Callable[[], float]) -> None:
        self._invite = invite
        self._clock, self._mono = clock, mono
        self._nonces = Nonces()
        self._requests = Buckets(limits.requests)
        self._entries = Buckets(limits.entries)
        self._refusals = Buckets(limits.refusals)
        self._vaults = Buckets(limits.vaults)

    def signed(self, request: Request) -> wire.Signed:
        """Return who claims to have signed, if the address may ask and the time is right."""
        if wait := self._refusals.wait(reading.address(request), self._mono()):
            raise later("too-many-refusals", "too many requests from this address were refused", wait)
        try:
            signed = wire.read_signed(reading.headers(request))
        except ValueError:
            raise Refused(401, "unsigned", "the request is not signed as it should be") from None
        now_ms = self._now_ms()
        if abs(signed.time_ms - now_ms) > wire.WINDOW_MS:
            headers = {wire.TIME: str(now_ms)}
            raise Refused(401, "wrong-time", "the clocks differ by more than five minutes", headers=headers)
        return signed

    def check(self, request: Request, signed: wire.Signed, known: Known, digest: bytes) -> None:
        """Check member, signature, nonce and rate, in this order; ``digest`` is the body's."""
        key = checking.signer_key(known, signed)
        if not wire.holds(signed, key, request.method, reading.target(request), digest):
            raise Refused(401, "wrong-signature", "the signature of the request does not hold")
        if not self._nonces.is_new(signed.device_id or signed.root.hex(), signed.nonce, self._now_ms()):
            raise Refused(401, "replayed", "the request was sent before")
        self._spend(self._requests, known.vault, 1)

    def check_entries(self, vault: str, count: int) -> None:
        """Check that the vault may bring so many entries now."""
        self._spend(self._entries, vault, count)

    def check_vaults(self, request: Request) -> None:
        """Check that the address may bring one more vault now."""
        if wait := self._vaults.take(reading.address(request), self._mono()):
            raise later("too-many-vaults", "too many vaults were brought from this address", wait)

    def check_invite(self, request: Request) -> None:
        """Check that whoever brings a new vault was invited, where this relay wants that."""
        given = request.headers.get(wire.INVITE, "")
        if self._invite and not hmac.compare_digest(given.encode(), self._invite.encode()):
            raise Refused(403, "no-invite", "this relay takes new vaults by invitation")

    def note_refusal(self, request: Request, refused: Refused) -> None:
        """Count a request that proved nothing against its address."""
        if refused.status in _PROVES_NOTHING:
            self._refusals.take(reading.address(request), self._mono())

    def _spend(self, buckets: Buckets, vault: str, count: int) -> None:
        if wait := buckets.take(vault, self._mono(), count):
            raise later("too-many", "the vault asks too much of this relay", wait)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
