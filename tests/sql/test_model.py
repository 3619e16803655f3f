"""Random operations by random users, on the database and on a model: after each, both agree."""

from __future__ import annotations

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sql.model.machine import ENDS, Machine, Step

STEPS, STEPS_OF_A_LONG_RUN = 10_000, 200_000
SHARDS = 4
LENGTH = 60

PROGRAMS = st.lists(
    st.builds(Step, *(st.integers(0, end) for end in ENDS)), min_size=LENGTH, max_size=LENGTH
)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_database_and_model_agree_after_each_step(shard, stack, database, record_property):
    steps = STEPS // SHARDS
    machine = Machine(database.url)

    # Some steps of a program do nothing.
    @seed(shard)
    @settings(max_examples=steps // (LENGTH - 4) + 1, database=None)
    @given(PROGRAMS)
    def run(program):
        machine.run(program)

    try:
        run()
    finally:
        machine.close()
    record_property("model_steps", machine.steps)
    assert machine.steps >= steps
    print(machine.steps, machine.refusals, machine.done)
