"""A text that does not show itself."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """A concealed text: masked when shown, refused when converted, given out only by ``reveal()``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; call it only where the secret is written out or computed with."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        ours = self._text.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(ours, other._text.encode("utf-8", "surrogatepass"))

    def __bool__(self) -> bool:
        return bool(self._text)

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a Secret is not converted by itself; use reveal() where it is written out")

    __str__ = __format__ = __reduce__ = __reduce_ex__ = __iter__ = __len__ = _refuse
    __hash__ = _refuse
