"""A new password has every kind of character and is drawn evenly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import UsageError
from vault.generate import CLASSES, LENGTH, new_password


@given(st.integers(8, 200), st.integers())
def test_every_password_has_its_length_and_all_kinds_of_characters(length: int, seed: int) -> None:
    made = new_password(length, random.Random(seed).randrange)
    assert len(made) == length
    assert all(any(letter in kind for letter in made) for kind in CLASSES)
    assert set(made) <= set("".join(CLASSES))


def test_every_character_comes_about_as_often_as_any_other() -> None:
    draw = random.Random(5).randrange
    made = "".join(new_password(100, draw) for _ in range(2000))
    counts = [made.count(letter) for letter in "".join(CLASSES)]
    expected = len(made) / len(counts)
    assert max(abs(n - expected) for n in counts) < expected * 0.12


def test_the_system_draws_unless_told_otherwise() -> None:
    assert len({new_password() for _ in range(50)}) == 50
    assert len(new_password()) == LENGTH == 20


@pytest.mark.parametrize("length", [-1, 0, 7, 1025])
def test_a_length_out_of_reason_is_refused(length: int) -> None:
    with pytest.raises(UsageError):
        new_password(length)
