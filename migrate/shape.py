"""What a source record looks like to a reader that knows no product: data of an adapter, read by ledger and proof.

A *leaf* is a non-empty text or a number. ``codes(...)`` marks numbers or words that are structure, ``Changed(rule)``
values that change on the way in. Everything that is not declared is a plain leaf and must arrive as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from migrate.rules import applied

_SURROGATE = re.compile("[\ud800-\udfff]")


class Codes(msgspec.Struct, frozen=True):
    """A closed set of values that say what something is, not what somebody wrote."""

    values: Container[Any]


class _Words:
    """Every text there is."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str)


WORDS = Codes(_Words())  # for a key whose texts never are somebody's own: the kinds of things, ids inside a file


class Changed(msgspec.Struct, frozen=True):
    """The name of the rule by which the value changes."""

    rule: str


Shape = dict[str, Any]  # key, or "*" for every other key and list element -> Codes, Changed or Shape


def codes(*values: Any) -> Codes:
    """Declare these values, and only these, to be structure."""
    return Codes(frozenset(values))


def changed(function: Any) -> Changed:
    """Declare that the value changes by this registered rule."""
    return Changed(function.__name__)


def is_leaf(node: Any) -> bool:
    """Whether the value is one the ledger counts: a non-empty text or a number."""
    return node is not True and node is not False and node is not None and node != ""


class Leaf(msgspec.Struct):
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


def leaves(node: Any, shape: Any = None, path: str = "", parent: Any = None, root: Any = None) -> Iterator[Leaf]:
    """Yield each leaf below the node; structure is left out."""
    if isinstance(node, dict):
        below = shape if isinstance(shape, dict) else {}
        whole = node if root is None else root
        for key, value in node.items():
            yield from leaves(value, below.get(key, below.get("*")), f"{path}.{key}" if path else key, node, whole)
    elif isinstance(node, list):
        each = shape.get("*") if isinstance(shape, dict) else None
        for index, value in enumerate(node):
            yield from leaves(value, each, f"{path}[{index}]", node, root)
    elif is_leaf(node):
        if isinstance(shape, Codes) and node in shape.values:
            return
        if isinstance(shape, Changed):
            expected = expected_of(shape, node, parent, root)
            if expected is not None:
                if expected:
                    yield Leaf(path, text_of(node), shape.rule, expected)
                return
        yield Leaf(path, text_of(node))


_NO_SHAPE: Shape = {}


def new_tally(rules: Counter[str] | None = None) -> list[Any]:
    """Return an empty tally: [leaves, of these changed, structure, changed by rule]."""
    return [0, 0, 0, Counter() if rules is None else rules]


def count(node: Any, shape: Any, tally: list[Any], parent: Any = None, root: Any = None) -> None:
    """Add to ``tally`` [leaves, of these changed, structure, changed by rule] what is below the node."""
    kind = type(node)
    if kind is dict:
        shaped = shape if type(shape) is dict else _NO_SHAPE
        get, every = shaped.get, shaped.get("*")
        whole = node if root is None else root
        found = structure = 0
        for key, value in node.items():
            kind = type(value)
            if kind is str:
                if not value:
                    structure += 1
                elif (below := get(key, every)) is None:
                    found += 1
                elif type(below) is not Codes:
                    count(value, below, tally, node, whole)
                elif value in below.values:
                    structure += 1
                else:
                    found += 1
            elif value is None or kind is bool:
                structure += 1
            elif kind is dict or kind is list:
                if value:
                    count(value, get(key, every), tally, node, whole)
            elif type(below := get(key, every)) is Codes and value in below.values:
                structure += 1
            else:
                count(value, below, tally, node, whole)
        tally[0] += found
        tally[2] += structure
    elif kind is list:
        below = shape.get("*") if type(shape) is dict else None
        for value in node:
            count(value, below, tally, node, root)
    elif not is_leaf(node) or (type(shape) is Codes and node in shape.values):
        tally[2] += 1
    else:
        expected = expected_of(shape, node, parent, root) if type(shape) is Changed else None
        if expected == ():
            tally[2] += 1
            return
        tally[0] += 1
        if expected is not None:
            tally[1] += 1
            tally[3][shape.rule] += 1


def part_of(shape: Shape, path: str) -> Shape:
    """Return the shape of the parts at a path such as ``login.uris[]``; an empty one where none is declared."""
    found: Any = shape
    for step in path.replace("[]", ".*").split(".") if path else ():
        found = found.get(step, found.get("*")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def unread(node: Any, shape: Any) -> int:
    """Return how many values are below a node that is kept as it is: structure is none, and no rule is applied."""
    if isinstance(node, dict):
        below = shape if isinstance(shape, dict) else {}
        return sum(unread(value, below.get(key, below.get("*"))) for key, value in node.items())
    if isinstance(node, list):
        each = shape.get("*") if isinstance(shape, dict) else None
        return sum(unread(value, each) for value in node)
    return is_leaf(node) and not (isinstance(shape, Codes) and node in shape.values)


def expected_of(shape: Changed, node: Any, parent: Any, root: Any) -> tuple[str, ...] | None:
    """Return what the rule makes of the value; None where it does not apply or changes nothing.

    () says that the value is structure where it stands.
    """
    expected = applied(shape.rule, node, parent, root)
    return None if expected is None or expected == (text_of(node),) else expected


def spell_surrogates(node: Any) -> Any:
    r"""Return the node with every lone surrogate spelled ``\udXXX``, which UTF-8 can hold."""
    if isinstance(node, str):
        return _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", node)
    if isinstance(node, dict):
        return {spell_surrogates(k): spell_surrogates(v) for k, v in node.items()}
    if isinstance(node, list):
        return [spell_surrogates(v) for v in node]
    return node
