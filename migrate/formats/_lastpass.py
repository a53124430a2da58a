"""LastPass' typed secure notes: their labels, how they are cut up, and how they are written (dossier: LastPass 3.2).

A typed note is one text: ``NoteType:``, ``Language:``, then ``Label:Value`` lines without any escaping, at last
``Notes:`` whose value runs to the end. A line begins a value if its label is one of the type. A line with another label
does so too, except below a key or an address, which may have several lines; all else continues the value before. In a
type not known here, or a note with none of its type's labels, any text before a colon is a label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from migrate import rules
from migrate.formats._lastpass_types import NoteType, spec_of
from migrate.records import read_json
from migrate.rules import each
from vault import model
from vault.model import CONCEALED, CustomFields, Field
from vault.secret import Secret
from vault.views import speaks_of_secret

NOTE = "http://sn"
SECTION = "lastpass-note"  # the section of what CXF's types have no member for
TYPE, LANGUAGE, NOTES = "NoteType:", "Language:", "Notes"
USUAL_LANGUAGE = "en-US"  # made anew when written
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
HIDDEN = frozenset(
    {"Password", "Passphrase", "Pin", "PIN", "Account Number", "IBAN Number", "Private Key", "License Key"}
)
STREET = ("Address 1", "Address 2", "Address 3")

Pairs = list[tuple[str, str]]


class Typed(msgspec.Struct, frozen=True):
    """A typed note cut up: all values by label, in order."""

    type: str
    language: str | None
    pairs: Pairs


_END = re.compile("(\r\n|\n)")


def cut(text: str) -> Typed | None:
    """Return the parts of a typed note; None for any other text."""
    if not text.startswith(TYPE):
        return None
    pieces = _END.split(text)  # lines and their ends by turns
    lines = [(line, end) for line, end in zip(pieces[::2], ["", *pieces[1::2]], strict=True)]  # the end before a line
    own_type, rest = lines[0][0][len(TYPE) :], lines[1:]
    language = rest.pop(0)[0][len(LANGUAGE) :] if rest and rest[0][0].startswith(LANGUAGE) else None
    if not own_type.strip():
        return None
    return Typed(own_type, language, _pairs(rest, _known_labels(own_type, rest)))


Lines = Sequence[tuple[str, str]]


def _known_labels(own_type: str, lines: Lines) -> frozenset[str]:
    """Return the labels to cut at; none where any will do."""
    labels = frozenset(spec_of(own_type).labels)
    return labels if any(line.partition(":")[0] in labels for line, _ in lines) else frozenset()


def _pairs(lines: Lines, labels: frozenset[str]) -> Pairs:
    found: Pairs = []
    for number, (line, end) in enumerate(lines):
        label, mark, value = line.partition(":")
        if mark and label == NOTES:
            found.append((NOTES, value + "".join(f"{before}{more}" for more, before in lines[number + 1 :])))
            break
        goes_on = bool(found) and _may_go_on(*found[-1], bool(labels))
        if mark and (label in labels or (not goes_on and _may_be_label(label, value))):
            found.append((label, value))
        elif found and not line and number == len(lines) - 1:
            break  # the end of the text's last line
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{end}{line}")
        else:
            found.append(("", line))
    return found


_LONG = ("Address", "Key")  # ends of labels whose values may have lines of their own
_LONGEST_LABEL = 60


def _may_go_on(label: str, value: str, is_known: bool) -> bool:
    """Whether a line below a value may belong to it although it looks like a label with its value."""
    return (is_known and label.endswith(_LONG)) or value.rfind("-----BEGIN") > value.rfind("-----END")


def _may_be_label(label: str, value: str) -> bool:
    return 0 < len(label.strip()) <= _LONGEST_LABEL and not value.startswith("//")


def iso_date(text: str) -> str | None:
    """Return ``Month,DD,YYYY`` as a date; None for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or parts[0] not in MONTHS or not re.fullmatch(r"\d{1,2},\d{4}", ",".join(parts[1:])):
        return None
    try:
        return date(int(parts[2]), MONTHS.index(parts[0]) + 1, int(parts[1])).isoformat()
    except ValueError:
        return None


def iso_month(text: str) -> str | None:
    """Return ``Month,YYYY`` or ``Month,YY`` as a month; None for anything else."""
    name, _, year = (part.strip() for part in text.partition(","))
    return rules.year_month(year, MONTHS.index(name) + 1) if name in MONTHS else None


def phone_of(text: str) -> dict[str, str] | None:
    """Return the parts of a telephone number that was written as JSON; None for anything else."""
    if not text.startswith("{"):
        return None
    try:
        found = read_json(text)
    except (ValueError, RecursionError):
        return None
    is_phone = isinstance(found, dict) and found.get("num") and all(isinstance(v, str) for v in found.values())
    return found if is_phone else None


def says_nothing(value: str, kind: str) -> bool:
    """Whether a value is empty, or the commas of an empty date."""
    return not value.strip(" ,\r\n" if kind in _DATES else "\r\n")


_DATES = ("date", "year-month")


def converted(value: str, kind: str) -> tuple[str, ...]:
    """Return the texts that stand for a value in the item."""
    if kind == "phone" and (phone := phone_of(value)):
        return tuple(text for text in phone.values() if text)
    if kind in _DATES:
        found = (iso_date(value) if kind == "date" else None) or iso_month(value)
        return (found,) if found else (value,)
    return (value,)


@each
def typed_note(value: Any, row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A typed secure note becomes the members and fields its labels name."""
    if row.get("url") != NOTE or not isinstance(value, str) or (typed := cut(value)) is None:
        return None
    spec, found = spec_of(typed.type), [typed.type]
    if typed.language and typed.language != USUAL_LANGUAGE:
        found.append(typed.language)
    street = {label: text for label, text in reversed(typed.pairs) if label in STREET} if _has_street(spec) else {}
    if any(street.values()):
        found.append(street_of(street))
    for label, text in typed.pairs:
        kind = spec.kind_of(label)
        if not says_nothing(text, kind) and street.get(label) != text:
            found += converted(text, kind)
    return tuple(found)


def _has_street(spec: NoteType) -> bool:
    return spec.kind_of(STREET[0]) == "street"


def street_of(lines: Mapping[str, str]) -> str:
    """Return the lines of a street address as one text."""
    return "\n".join(lines.get(label, "") for label in STREET).rstrip("\n")


class Reader:
    """A typed note while it becomes credentials."""

    def __init__(self, typed: Typed) -> None:
        self.spec = spec_of(typed.type)
        self.made: dict[type[Any], dict[str, Any]] = {kind: {} for kind in self.spec.kinds}
        self.spare: list[Field] = []
        self.notes = ""
        self.kept: dict[str, str] = {}  # what is nothing for a person: goes to ``extra``
        pairs = typed.pairs
        if _has_street(self.spec):
            pairs = self._street(pairs)
        for label, value in pairs:
            self._take(label, value)
        if typed.language is not None and typed.language != USUAL_LANGUAGE:
            self.kept[LANGUAGE.rstrip(":")] = typed.language

    def _street(self, pairs: Pairs) -> Pairs:
        """Take the first of each street line; return the rest."""
        lines: dict[str, str] = {}
        rest = []
        for label, value in pairs:
            if label in STREET and label not in lines:
                lines[label] = value
            else:
                rest.append((label, value))
        if any(lines.values()):
            self.made[model.Address]["street_address"] = Field(value=street_of(lines))
        return rest

    def _take(self, label: str, value: str) -> None:
        if label == NOTES:
            self.notes = value
            return
        kind = self.spec.kind_of(label)
        if says_nothing(value, kind):
            return
        if kind == "phone" and value.startswith('{"num":""') and label not in self.kept:
            self.kept[label] = value
            return
        owner, member, _ = self.spec.members.get(label, (None, "", ""))
        if owner is None or member in self.made[owner] or kind == "street":
            self.spare.append(_field(value, kind, label))
        elif kind in ("secret", "text"):
            self.made[owner][member] = Secret(value) if kind == "secret" else value
        else:
            made = _field(value, kind, label)
            self.made[owner][member] = Field(value=made.value, field_type=made.field_type, extra=made.extra)

    def credentials(self) -> list[Any]:
        """Return what the note consists of."""
        first = next(iter(self.made), None)
        made: list[Any] = [kind(**members) for kind, members in self.made.items() if members or kind is first]
        if self.spare or not made:
            made.append(CustomFields(id=SECTION, fields=tuple(self.spare)))
        if self.notes:
            made.append(model.Note(content=Secret(self.notes)))
        return made


def _field(value: str, kind: str, label: str) -> Field:
    if kind == "phone" and (phone := phone_of(value)):
        rest = {name: text for name, text in phone.items() if name != "num"}
        return Field(value=phone["num"], label=label, extra=rest)
    if kind == "date" and (found := iso_date(value)):
        return Field(value=found, label=label, field_type="date")
    if kind in _DATES and (found := iso_month(value)):
        return Field(value=found, label=label, field_type="year-month")
    if kind in (CONCEALED, "secret") or label in HIDDEN or speaks_of_secret(label):
        return model.concealed(value, label=label)
    return Field(value=value, label=label)


def text_of(one: Field) -> str:
    """Return a field's value as LastPass writes it."""
    if "num" not in one.extra and {"ext", "cc3l", "cc"} & set(one.extra):
        from vault.canonical import encode

        return encode({"num": one.text, **one.extra}).decode()
    return written_date(one.text) if one.field_type in _DATES else one.text


def written_date(text: str) -> str:
    """Return a date or month as LastPass writes it; any other text as it is."""
    found = re.fullmatch(r"(\d{4})-(\d\d)(?:-(\d\d))?", text)
    if not found or not 1 <= int(found[2]) <= 12:
        return text
    month = MONTHS[int(found[2]) - 1]
    return f"{month},{int(found[3])},{found[1]}" if found[3] else f"{month},{found[1]}"


def arranged(own_type: str, values: Mapping[str, str], spare: Sequence[Field], kept: Mapping[str, Any]) -> Pairs:
    """Return labels and values as they are to be written: those of the type in its order, then further fields.

    Fields that belong to no label of the type, and nothing that does, came from a note whose labels were its own.
    """
    labels = spec_of(own_type).labels
    extra = [(one.label or "", text_of(one)) for one in spare]
    if not any(values.values()) and any(label and label not in labels for label, _ in extra):
        return extra
    filled = {label: values.get(label) or kept.get(label) or "" for label in labels}
    order = [label for label in labels if label in dict(extra) and not filled[label]]
    if order == [label for label, _ in extra]:
        return [(label, filled[label] or dict(extra).get(label, "")) for label in labels]
    unlabelled = [pair for pair in extra if not pair[0]]
    return [*unlabelled, *filled.items(), *(pair for pair in extra if pair[0])]


def joined(own_type: str, language: str, pairs: Pairs, notes: str) -> str:
    """Return a typed note as one text."""
    lines = (f"{label}:{value}" if label else value for label, value in pairs)
    return "\n".join((f"{TYPE}{own_type}", f"{LANGUAGE}{language}", *lines, f"{NOTES}:{notes}"))


def reads_back(own_type: str, pairs: Pairs) -> bool:
    """Whether labels and values are the same after they were written and read."""
    again = cut(joined(own_type, "", pairs, ""))
    return again is not None and again.pairs == [*pairs, (NOTES, "")]
