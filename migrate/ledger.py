"""What became of every value of a source, as the reading side claims it; ``migrate.proof`` checks the claim.

Fates: *arrived* in a typed member; *elsewhere* in ``extra`` or a custom field; *changed* by a registered rule;
*dropped* by somebody's choice; *quarantined* raw because the record could not be read. Sums balance by construction:
arrived is what is left of the total after the other four.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from migrate.shape import Shape, count, new_tally, part_of, unread


class Quarantined(msgspec.Struct, frozen=True):
    """A record that could not be read, kept as its raw bytes."""

    place: str
    reason: str
    raw: bytes
    line: int = 0
    column: int = 0
    values: int = 1


class Ledger(msgspec.Struct):
    """Counts for the whole source and a line for each value that did not simply arrive."""

    shape: Shape
    frame_shape: Shape
    total: int = 0
    changed: int = 0
    structure: int = 0
    elsewhere_lines: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (place, where) -> values
    # (column or member, by whose choice) -> values
    dropped_lines: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    changed_lines: Counter[str] = msgspec.field(default_factory=Counter)  # rule -> values
    quarantine: list[Quarantined] = msgspec.field(default_factory=list)
    warnings: list[str] = msgspec.field(default_factory=list)

    def record(self, data: Any) -> int:
        """Count a record before anybody takes from it; return how many values it has."""
        return self._count(data, self.shape)

    def frame(self, data: Any) -> None:
        """Count what stands around the records."""
        self._count(data, self.frame_shape)

    def _count(self, data: Any, shape: Shape) -> int:
        tally = new_tally(self.changed_lines)
        count(data, shape, tally)
        self.total += tally[0]
        self.changed += tally[1]
        self.structure += tally[2]
        return int(tally[0])

    def elsewhere(self, place: str, part: Mapping[str, Any], path: str = "") -> None:
        """Note values that are kept raw because the adapter does not know their keys, or not what they say.

        ``path`` leads from the record, or from the frame where ``place`` is empty, to the part.
        """
        shape = part_of(self.shape if place else self.frame_shape, path)
        for key, value in part.items():
            if values := unread(value, shape.get(key, shape.get("*"))):
                self.elsewhere_lines[place, f"{path}.{key}" if path else key] += values

    def dropped(self, what: str, by: str, values: int = 1) -> None:
        """Note values left out, and by whose choice."""
        self.dropped_lines[what, by] += values

    def set_aside(self, record: Quarantined) -> None:
        """Put an unreadable record into quarantine; its values, counted or not, are quarantined."""
        self.quarantine.append(record)

    def warn(self, text: str) -> None:
        """Keep a sentence for the end of the report; never with content of the source."""
        self.warnings.append(text)

    def values(self) -> dict[str, int]:
        """Return the sums: total = arrived + elsewhere + changed + dropped + quarantined; structure apart."""
        elsewhere = sum(self.elsewhere_lines.values())
        dropped = sum(self.dropped_lines.values())
        quarantined = sum(q.values for q in self.quarantine)
        return {
            "total": self.total,
            "arrived": self.total - self.changed - elsewhere - dropped - quarantined,
            "elsewhere": elsewhere,
            "changed": self.changed,
            "dropped": dropped,
            "quarantined": quarantined,
            "structure": self.structure,
        }
