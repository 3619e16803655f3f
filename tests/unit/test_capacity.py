"""The arithmetic of scripts/capacity, against sums done by other means."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from capacity import CALIBRATION, read_calibration
from planning.model import DAYS_OF_MONTH, DOCUMENT, Bytes, Calibration, Plan, limits, simulate

from support.stacks import ROOT

ONE = Bytes(1.0, 1.0, 1.0)
UNITS = Calibration(**{f.name: ONE for f in dataclasses.fields(Calibration) if f.name != "about"})


def by_the_day(plan: Plan, day: int) -> tuple[float, float]:
    """Live and waiting messages on a day, one day's sends after the other."""
    live = waiting = 0.0
    for sent in range(day):
        count = plan.users * (1 + plan.growth) ** (sent / DAYS_OF_MONTH) * plan.messages_a_day
        for tier, share in plan.tiers.items():
            days = plan.retention_days[tier]
            age = day - sent
            if days is None or age <= days:
                live += share * count
            elif age <= days + plan.restore_days:
                waiting += share * count
    return live, waiting


@pytest.mark.parametrize("growth", [0.0, 0.05, 0.3, -0.1])
@pytest.mark.parametrize("months", [1, 4, 14, 30])
def test_a_plan_is_the_sum_of_its_days(growth: float, months: int) -> None:
    plan = Plan(growth=growth, months=months)
    month = simulate(plan, UNITS)[-1]
    # Days are whole there, and exact here.
    live, waiting = by_the_day(plan, round(months * DAYS_OF_MONTH))
    a_day = plan.users_after(months) * plan.messages_a_day
    assert month.live == pytest.approx(live, rel=0.02, abs=a_day)
    assert month.waiting == pytest.approx(waiting, rel=0.03, abs=a_day)


def test_without_growth_it_comes_to_rest() -> None:
    months = simulate(Plan(months=20), UNITS)
    last = months[-1]
    daily = 500 * 50
    assert last.live == pytest.approx(daily * (0.7 * 30 + 0.2 * 180 + 0.1 * 365))
    assert last.waiting == pytest.approx(daily * 30)
    assert last.total_bytes == pytest.approx(months[-2].total_bytes)
    assert [m.total_bytes for m in months] == sorted(m.total_bytes for m in months)
    # As much is marked and purged as is sent.
    with_it = 1 + 100 + 0.5 + 0.1 + 1
    assert last.wal_bytes == pytest.approx(last.sent * (with_it + 2))


def test_what_is_kept_for_ever_grows_for_ever() -> None:
    plan = Plan(tiers={"ever": 1.0}, retention_days={"ever": None}, months=50)
    months = simulate(plan, UNITS)
    assert months[-1].live == pytest.approx(sum(month.sent for month in months))
    assert months[-1].waiting == 0


def test_parts_add_up() -> None:
    month = simulate(Plan(months=6), UNITS)[-1]
    assert month.total_bytes == pytest.approx(1.2 * (month.table_bytes + month.index_bytes))


def test_the_document_s_estimate() -> None:
    """1.8 GB a year; with retention about 500 MB, and 650 MB with indexes."""
    plan = Plan(months=12, restore_days=0)
    year = DOCUMENT.sent(plan.letters).table * plan.sent_between(0, 365)
    assert year == pytest.approx(1.8e9, rel=0.01)
    month = simulate(plan, DOCUMENT)[-1]
    assert month.table_bytes == pytest.approx(500e6, rel=0.15)
    assert month.table_bytes + month.index_bytes == pytest.approx(650e6, rel=0.15)


def test_limits_grow_with_the_users() -> None:
    shares = []
    for users in (1e6, 2e6):
        plan = Plan(users=users, conversations=0)
        found = limits(plan, simulate(plan, UNITS)[-1], UNITS, sends_a_second=2000,
                       connected=0.1, clients=10_000, memory_bytes=64e9)  # fmt: skip
        shares.append([limit.share for limit in found])
    assert shares[1] == pytest.approx([2 * share for share in shares[0]])
    assert found[0].need == pytest.approx(2e6 * 50 / 86400 * 4)
    assert found[1].share == pytest.approx(20)


def test_what_was_measured_is_plausible() -> None:
    measured = read_calibration(CALIBRATION)
    sent = measured.sent(100)
    # The text itself, and not many times that.
    assert 1.0 <= measured.letter.table < 1.3
    assert 200 < sent.table < 400
    assert 100 < sent.index < 400
    assert all(
        min(dataclasses.astuple(each)) >= 0
        for each in vars(measured).values()
        if isinstance(each, Bytes)
    )


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/capacity.py", "--months", "3", "--growth", "10",
         "--tiers", "free=1", "--plots", tmp_path, "-o", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert [month["number"] for month in answer["months"]] == [1, 2, 3]
    assert {limit["name"] for limit in answer["limits"]} >= {"sockets open", "table of messages"}
    for name in ("storage", "wal", "messages"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
