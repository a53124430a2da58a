"""The proof is proven: whatever is spoiled in the vault, it notices, and names the place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from migrate import catalog
from tests.migrate.household import as_bytes, household
from tests.migrate.mutations import SPOILS, Stored, spoiled, stored
from tests.migrate.test_samples import options_of
from vault.errors import KeyferryError

SAMPLES = Path(__file__).parents[2] / "samples"
MUTATIONS = 50


def sample_of(format: str) -> Path | None:
    """Return the household in a format, else its largest sample that can be read."""
    files = [p for p in (SAMPLES / format).glob("*") if not p.name.endswith((".json.expected.json", ".md"))]
    files = [p for p in files if p.is_file() and ".expected." not in p.name and ".options." not in p.name]
    files.sort(key=lambda p: (p.stem == "household", p.stat().st_size), reverse=True)
    for path in files:
        try:
            if len(stored(path, options_of(path)).rows) > 1:
                return path
        except KeyferryError:
            continue
    return None


FORMATS = {name: path for name in catalog.names() if (path := sample_of(name)) is not None}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The invented household, stored."""
    path = tmp_path_factory.mktemp("household") / "household.json"
    path.write_bytes(as_bytes(household()))
    return stored(path)


def test_nearly_every_format_has_a_sample_to_spoil() -> None:
    without = set(catalog.names()) - set(FORMATS)
    assert not without, without


@pytest.mark.parametrize("format", FORMATS)
def test_fifty_spoiled_outputs_are_all_noticed(format: str) -> None:
    vault = stored(FORMATS[format], options_of(FORMATS[format]))
    before = vault.findings()
    assert not {one for one in before if one.kind != "doubled"}
    caught: Counter[str] = Counter()
    missed = []
    for number in range(MUTATIONS):
        way, made, touched = spoiled(vault, number, format)
        found = made.findings() - before
        if found and touched <= {one.place for one in found}:
            caught[way] += 1
        else:
            missed.append((way, number, touched, found))
    kinds = ", ".join(f"{way} {n}" for way, n in caught.items())
    print(f"{format}: caught {sum(caught.values())} of {MUTATIONS} ({kinds})")
    assert not missed


def test_every_way_to_spoil_is_used_on_some_format() -> None:
    used = {
        spoiled(stored(path, options_of(path)), number, format)[0]
        for format, path in FORMATS.items()
        for number in range(len(SPOILS))
    }
    assert used == {way.__name__ for way in SPOILS}
