"""What a source record looks like to a reader that knows no product: data an adapter declares, read by ledger and proof.

A *leaf* is a non-empty text or a number. ``codes(...)`` marks numbers or words that are structure, ``Changed(rule)``
values that change on the way in. Everything that is not declared is a plain leaf and must arrive as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Union

from migrate.rules import RULES

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Codes:
    """A closed set of values that say what something is, not what somebody wrote."""

    values: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """The name of the rule by which the value changes."""

    rule: str


Shape = Mapping[str, Union["Codes", "Changed", "Shape"]]


def codes(*values: Any) -> Codes:
    """Declare these values, and only these, to be structure."""
    return Codes(frozenset(values))


def changed(function: Any) -> Changed:
    """Declare that the value changes by this registered rule."""
    return Changed(function.__name__)


def is_leaf(node: Any) -> bool:
    """Whether the value is one the ledger counts: a non-empty text or a number."""
    return node is not True and node is not False and node is not None and node != ""


@dataclass(slots=True)
class Leaf:
    """One value of a source record: where it stands, its text, and what it must be found as."""

    path: str
    text: str
    rule: str | None = None
    expected: tuple[str, ...] = ()


def text_of(node: Any) -> str:
    """Return a leaf's text; numbers as JSON writes them, a whole float as a whole number."""
    if isinstance(node, str):
        return node
    if isinstance(node, Decimal) and node == node.to_integral_value() and abs(node) < 10**18:
        return str(int(node))
    return str(node)


def leaves(node: Any, shape: Any = None, path: str = "", parent: Any = None) -> Iterator[Leaf]:
    """Yield each leaf below the node; structure is left out."""
    if isinstance(node, dict):
        below = shape if isinstance(shape, Mapping) else {}
        for key, value in node.items():
            yield from leaves(value, below.get(key, below.get("*")), f"{path}.{key}" if path else key, node)
    elif isinstance(node, list):
        below = shape.get("*") if isinstance(shape, Mapping) else None
        for index, value in enumerate(node):
            yield from leaves(value, below, f"{path}[{index}]", node)
    elif is_leaf(node):
        if isinstance(shape, Codes) and node in shape.values:
            return
        if isinstance(shape, Changed):
            expected = RULES[shape.rule](node, parent)
            if expected is not None and expected != (text_of(node),):
                yield Leaf(path, text_of(node), shape.rule, expected)
                return
        yield Leaf(path, text_of(node))


def count(node: Any, shape: Any, tally: list[int], parent: Any = None) -> None:
    """Add to ``tally`` [leaves, of these changed, structure] what is below the node."""
    if isinstance(node, str):
        if not node:
            tally[2] += 1
            return
    elif isinstance(node, dict):
        if isinstance(shape, Mapping):
            any_key = shape.get("*")
            for key, value in node.items():
                count(value, shape.get(key, any_key), tally, node)
        else:
            for value in node.values():
                count(value, None, tally, node)
        return
    elif isinstance(node, list):
        below = shape.get("*") if isinstance(shape, Mapping) else None
        for value in node:
            count(value, below, tally, node)
        return
    elif node is None or node is True or node is False:
        tally[2] += 1
        return
    if shape is not None:
        if isinstance(shape, Codes):
            if node in shape.values:
                tally[2] += 1
                return
        elif isinstance(shape, Changed):
            expected = RULES[shape.rule](node, parent)
            if expected is not None and expected != (text_of(node),):
                tally[1] += 1
    tally[0] += 1


def spell_surrogates(node: Any) -> Any:
    r"""Return the node with every lone surrogate spelled ``\udXXX``, which UTF-8 can hold."""
    if isinstance(node, str):
        return _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", node)
    if isinstance(node, dict):
        return {spell_surrogates(k): spell_surrogates(v) for k, v in node.items()}
    if isinstance(node, list):
        return [spell_surrogates(v) for v in node]
    return node
