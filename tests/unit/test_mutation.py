"""Mutants are what they say they are: one condition or one guard less, and nothing else."""

from __future__ import annotations

import pytest

from mutation.bodies import Function, unchecked, weakened, without_conditions
from mutation.conditions import terms


def found(text: str, *, is_condition: bool = False) -> set[str]:
    return {text[t.start : t.end] for t in terms(text, is_condition=is_condition)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a and b", {"a", "b"}),
        ("a", set()),
        ("a and (b or c)", {"a", "(b or c)"}),
        ("a or b and c", {"b", "c"}),
        ("a between 1 and 2 and b", {"a between 1 and 2", "b"}),
        ("a is distinct from b and c", {"a is distinct from b", "c"}),
        ("x = ' and ' and b -- and c", {"x = ' and '", "b"}),
        ("case when a then b end = 1 and c", {"case when a then b end = 1", "c"}),
        ("exists (select from t where a and f(b, c)) and d",
         {"a", "f(b, c)", "d", "exists (select from t where a and f(b, c))"}),
    ],
)  # fmt: skip
def test_terms_of_a_condition(text, expected):
    assert found(text, is_condition=True) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select a from t where b", {"b"}),
        ("select a and b from t", set()),
        ("select a from t inner join u on t.x = u.x and t.y where z order by a",
         {"t.x = u.x", "t.y", "z"}),
        ("insert into t values (1) on conflict (a) do update set b = 1 where c", {"c"}),
        ("insert into t values (1) on conflict on constraint k do nothing", set()),
        ("delete from t where a returning b and c", {"a"}),
    ],
)  # fmt: skip
def test_terms_of_a_query(text, expected):
    assert found(text) == expected


SOURCE = """CREATE OR REPLACE FUNCTION chat_private.f(id uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    v_one constant t := chat_private.require_one(f.id);
begin
    if v_one.a is null or v_one.b then
        perform chat_private.raise_error('no');
    end if;
    perform chat_private.check_may_write(v_one, (f.id));
    delete from t where t.id = f.id and t.left_at is null;
end;
$function$
"""


def test_every_guard_of_a_body_has_a_mutant():
    made = {weaker.what: weaker for weaker in weakened(Function("f", "f(uuid)", "plpgsql", SOURCE))}
    assert set(made) == {
        "without `t.left_at is null`",
        "does not refuse no",
        "without `perform chat_private.check_may_write(v_one, (f.id));`",
        "does not insist on chat_private.require_one",
        "does not refuse if `v_one.a is null`",
        "does not refuse if `v_one.b`",
    }
    assert made["does not refuse no"].code == "no"
    assert "then\n        null;\n" in made["does not refuse no"].source
    assert "if false or v_one.b then" in made["does not refuse if `v_one.a is null`"].source
    assert "unchecked_one(f.id)" in made["does not insist on chat_private.require_one"].source
    for weaker in made.values():
        assert weaker.source.count("\n") == SOURCE.count("\n")
        assert weaker.source != SOURCE


def test_a_policy_s_condition_loses_one_term_at_a_time():
    made = [weaker.source for weaker in without_conditions("(a AND b)", is_condition=True)]
    assert made == ["(true AND b)", "(a AND true)"]


def test_who_is_refused_is_let_through():
    source = SOURCE.replace(".f(", ".require_f(")
    twin = unchecked(Function("require_f", "require_f(uuid)", "plpgsql", source), 1)
    assert "FUNCTION chat_private.twin_of_f(id uuid)" in twin
    assert "FUNCTION chat_private.unchecked_f(id uuid)" in twin
    assert "raise_error" not in twin
    assert "return chat_private.twin_of_f($1);" in twin
