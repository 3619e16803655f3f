"""Random operations by random users, on the database and on a model: after each, both agree."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from sql.model.machine import ENDS, Machine, Step
from sql.model.summary import PROPERTY

STEPS, STEPS_OF_A_LONG_RUN = 10_000, 200_000
SHARDS = 4
LENGTH = 80

STEP = st.builds(Step, *(st.integers(0, end) for end in ENDS))
PROGRAMS = st.lists(STEP, min_size=LENGTH, max_size=LENGTH)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_database_and_model_agree_after_each_step(shard, database, long_run, record_property):
    steps = (STEPS_OF_A_LONG_RUN if long_run else STEPS) // SHARDS
    machine = Machine(database.url)

    # A few steps of each do nothing.
    @seed(shard)
    @settings(
        max_examples=steps // (LENGTH - 10) + 1,
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    @given(PROGRAMS)
    def run(program):
        machine.run(program)

    try:
        run()
    finally:
        machine.close()
    figures = {"steps": machine.steps, "refused": machine.refused.total(), "seed": shard}
    record_property(PROPERTY, figures)
    assert machine.steps >= steps
