"""However often batches are sent, and in whatever cuts, the log is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vault.relay.calling import LAPTOP, PHONE, chain_of, log_of, running
from vault import membership
from vault.relay.quota import Limits
from vault.sync import wire

CHAIN = chain_of(LAPTOP, PHONE)
VAULT = membership.vault_id_of(CHAIN)
DEVICES = {LAPTOP: log_of(CHAIN, LAPTOP).parts(12), PHONE: log_of(CHAIN, PHONE).parts(12)}
PLENTY = Limits(requests=10**6, entries=10**6, refusals=10**6)

sends = st.lists(
    st.tuples(
        st.sampled_from([LAPTOP, PHONE]),  # who sends
        st.sampled_from([LAPTOP, PHONE]),  # whose log
        st.integers(0, 11),
        st.integers(1, 12),
        st.booleans(),  # the membership chain with it
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(sends)
def test_any_repetition_of_batches_gives_the_same_log(program: list[tuple]) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), limits=PLENTY) as caller:
        caller.create(CHAIN, LAPTOP)
        have = {LAPTOP: 0, PHONE: 0}
        for sender, writer, first, count, with_chain in program:
            parts = DEVICES[writer][first : first + count]
            chain = [wire.Part(wire.MEMBER, one) for one in CHAIN] if with_chain else []
            answer = caller.append(sender, VAULT, *chain, *parts)
            fits = first <= have[writer]
            assert answer.status == (200 if fits else 422), answer
            if fits:
                have[writer] = max(have[writer], first + len(parts))
            assert caller.page(LAPTOP, VAULT).cursor == 2 + sum(have.values())
        for writer, parts in DEVICES.items():
            caller.append(writer, VAULT, *parts)
        for writer, parts in DEVICES.items():
            caller.append(writer, VAULT, *parts)
        page = caller.page(LAPTOP, VAULT)
        assert [one.data for one in page.entries[:2]] == CHAIN
        for parts in DEVICES.values():
            wanted = [part.data for part in parts]
            assert [one.data for one in page.entries if one.data in wanted] == wanted
        assert len(page.entries) == 26
        assert [one.number for one in page.entries] == list(range(1, 27))
