"""What a plan says, and what it takes to apply one."""

from __future__ import annotations

import pytest
from importer import plan as plans
from importer.errors import ImportFailed

from .world import CAREFUL


def _found(plan) -> dict[tuple[str, str], int]:
    return {
        (conflict["kind"], conflict["place"]): conflict["number"] for conflict in plan["conflicts"]
    }


def test_everything_that_is_wrong_is_listed(world):
    there = world("direct_messages")
    plan = there.plan(choices={})
    assert _found(plan) == {
        # Not in the source, no address, not here, an address that is not confirmed.
        ("missing_user", "people"): 5,
        ("missing_user", "messages"): there.one(
            "select count(*) from direct_messages where sender_id in (3, 4, 5, 6, 77777)"
        ),
        ("too_long", "messages"): 1,
        ("empty", "messages"): 2,
        ("bad_type", "messages"): 2,
        ("bad_time", "messages"): 2,
        ("reply", "messages"): 1,
        # Everybody else's conversations with them, and what they wrote to themselves.
        ("not_a_pair", "conversations"): there.one(
            "select count(*) from (select distinct least(sender_id, recipient_id) as a,"
            " greatest(sender_id, recipient_id) as b from direct_messages) as p where a = b or"
            " a in (3, 4, 5, 6, 77777) or b in (3, 4, 5, 6, 77777)"
        ),
        ("expired", "tenants"): 1,
        ("files", "files"): 1,
    } | {key: number for key, number in _found(plan).items() if key[0] == "orphan"}
    assert plan["undecided"] == sorted(
        {"missing_user", "too_long", "empty", "bad_type", "bad_time", "expired", "files"}
    )
    said = plans.describe(plan)
    assert (
        "missing_user (people): 5; UNDECIDED: --on missing_user=ghost or missing_user=skip" in said
    )
    assert "77777: no address wrote 1" in said
    assert "(not confirmed)" in said


def test_a_plan_with_something_undecided_is_not_applied(world, tmp_path):
    there = world("direct_messages")
    plan = there.plan(choices={**CAREFUL, "missing_user": ""})
    plans.write_plan(plan, tmp_path / "plan.json")
    with pytest.raises(ImportFailed, match="undecided") as refused:
        plans.read_plan(tmp_path / "plan.json", plans.checksum(plan))
    assert refused.value.details == ["missing_user: ghost or skip"]


def test_only_the_approved_plan_is_applied(world, tmp_path):
    there = world("direct_messages", dirt=False)
    plan = there.plan()
    plans.write_plan(plan, tmp_path / "plan.json")
    assert plans.read_plan(tmp_path / "plan.json", plans.checksum(plan)) == plan
    with pytest.raises(ImportFailed, match="not the plan"):
        plans.read_plan(tmp_path / "plan.json", "0123456789abcdef")
    edited = (tmp_path / "plan.json").read_text().replace('"ghost"', '"skip"')
    (tmp_path / "plan.json").write_text(edited)
    with pytest.raises(ImportFailed, match="not the plan"):
        plans.read_plan(tmp_path / "plan.json", plans.checksum(plan))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("update direct_messages set content = 'other' where id = 40", "messages"),
        ("delete from direct_messages where id = 40", "messages"),
        ("delete from auth.users where email = 'Person2@example.com'", "users"),
        ("alter table chat.messages add column more text", "schema"),
    ],
)
def test_a_database_that_changed_since_is_not_touched(world, change, named):
    there = world("direct_messages", dirt=False)
    plan = there.plan()
    there.owner.execute(change)
    before = there.rows()
    with pytest.raises(ImportFailed, match="changed") as refused:
        there.apply(plan)
    assert any(named in detail for detail in refused.value.details)
    assert there.rows() == before
    assert there.one("select to_regnamespace('parley_import')") is None


def test_a_living_source_may_grow_but_not_shrink(world):
    there = world("direct_messages", dirt=False)
    plan = there.plan(is_live=True)
    there.owner.execute("delete from direct_messages where id = 40")
    with pytest.raises(ImportFailed, match="changed"):
        there.apply(plan)
    there.owner.execute(
        "insert into direct_messages (id, sender_id, recipient_id, content)"
        " values (1000001, 1, 2, 'new'), (1000002, 2, 1, 'newer')"
    )
    assert there.apply(plan) == plan["messages"] + 1


def test_a_source_without_a_column_is_named(world):
    there = world("direct_messages", dirt=False)
    there.owner.execute("alter table direct_messages drop column read_at")
    with pytest.raises(ImportFailed) as refused:
        there.plan()
    assert refused.value.details == ["public.direct_messages: column read_at"]


def test_one_import_at_a_time(world):
    there = world("direct_messages", dirt=False, count=50)
    plan = there.plan()
    there.apply(plan)
    with pytest.raises(ImportFailed, match="under way"):
        there.plan()
    with pytest.raises(ImportFailed, match="another plan"):
        there.apply({**plan, "title": "another"})
