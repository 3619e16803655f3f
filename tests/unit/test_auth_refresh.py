from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_stack.auth.objects import Session
from parley_stack.auth.refresh import ActiveToken, RefreshToken, Verdict, judge
from parley_stack.auth.sessions import Validity, validity
from parley_stack.auth.settings import Sessions

START = datetime(2026, 1, 1, tzinfo=UTC)
REUSE = timedelta(seconds=10)
SESSION = uuid.UUID(int=7)


def token(name: str, *, revoked: bool, used_at: datetime = START) -> RefreshToken:
    return RefreshToken(
        token=name, user_id="u", revoked=revoked, updated_at=used_at, session_id=SESSION
    )


@pytest.mark.parametrize(
    ("presented", "active", "seconds", "verdict"),
    [
        (token("a", revoked=False), ActiveToken("a", None), 0, Verdict.SWAP),
        (token("a", revoked=False), ActiveToken("a", None), 10**8, Verdict.SWAP),
        (token("a", revoked=True), ActiveToken("b", "a"), 0, Verdict.ACTIVE),
        (token("a", revoked=True), ActiveToken("b", "a"), 10**8, Verdict.ACTIVE),
        (token("a", revoked=True), ActiveToken("c", "b"), 10, Verdict.SWAP),
        (token("a", revoked=True), ActiveToken("c", "b"), 11, Verdict.REFUSE),
        (token("a", revoked=True), None, 0, Verdict.REFUSE),
    ],
    ids=["live", "live, old", "lost answer", "lost answer, late", "reuse", "reuse, late", "dead"],
)
def test_verdict(
    presented: RefreshToken, active: ActiveToken | None, seconds: int, verdict: Verdict
) -> None:
    now = START + timedelta(seconds=seconds)
    assert judge(presented, active, now=now, reuse=REUSE) is verdict


def test_a_revoked_token_without_a_time_is_refused() -> None:
    presented = replace(token("a", revoked=True), updated_at=None)
    assert judge(presented, ActiveToken("c", "b"), now=START, reuse=REUSE) is Verdict.REFUSE


@dataclass
class Chain:
    """The rows of one session, changed as the verdicts say."""

    rows: list[RefreshToken] = field(default_factory=lambda: [token("0", revoked=False)])
    parents: list[str | None] = field(default_factory=lambda: [None])

    def active(self) -> ActiveToken | None:
        live = [i for i, row in enumerate(self.rows) if not row.revoked]
        return ActiveToken(self.rows[live[-1]].token, self.parents[live[-1]]) if live else None

    def present(self, index: int, now: datetime) -> Verdict:
        row = self.rows[index]
        verdict = judge(row, self.active(), now=now, reuse=REUSE)
        if verdict is Verdict.REFUSE:
            self.rows = [r if r.revoked else self._used(r, now) for r in self.rows]
        elif verdict is Verdict.SWAP:
            if not row.revoked:
                self.rows[index] = self._used(row, now)
            self.rows.append(token(str(len(self.rows)), revoked=False, used_at=now))
            self.parents.append(row.token)
        return verdict

    @staticmethod
    def _used(row: RefreshToken, now: datetime) -> RefreshToken:
        return replace(row, revoked=True, updated_at=now)


steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=30)


@given(steps)
def test_a_refused_token_ends_the_whole_chain_for_ever(moves: list[tuple[int, int]]) -> None:
    chain, now, dead = Chain(), START, False
    for choice, seconds in moves:
        now += timedelta(seconds=seconds)
        verdict = chain.present(choice % len(chain.rows), now)
        assert verdict is Verdict.REFUSE or not dead
        dead = dead or verdict is Verdict.REFUSE
        assert dead == (chain.active() is None)


@given(steps)
def test_who_only_ever_holds_the_newest_token_or_lost_one_answer_is_never_refused(
    moves: list[tuple[int, int]],
) -> None:
    chain, now = Chain(), START
    held = 0
    for lost, seconds in moves:
        now += timedelta(seconds=seconds * 1000)
        verdict = chain.present(held, now)
        assert verdict is not Verdict.REFUSE
        if lost % 2:
            held = len(chain.rows) - 1


@given(steps)
def test_every_live_token_swaps(moves: list[tuple[int, int]]) -> None:
    chain, now = Chain(), START
    for choice, seconds in moves:
        now += timedelta(seconds=seconds)
        index = choice % len(chain.rows)
        was_live = not chain.rows[index].revoked
        assert not was_live or chain.present(index, now) is Verdict.SWAP
        if not was_live:
            chain.present(index, now)


SESSION_ROW = Session(
    id=SESSION, user_id=SESSION, created_at=START, refreshed_at=None, not_after=None, aal="aal1"
)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("session", "limits", "expected"),
    [
        (SESSION_ROW, Sessions(), Validity.VALID),
        (SESSION_ROW, Sessions(timebox=HOUR), Validity.EXPIRED),
        (SESSION_ROW, Sessions(timebox=3 * HOUR), Validity.VALID),
        (SESSION_ROW, Sessions(inactivity_timeout=HOUR), Validity.INACTIVE),
        (
            replace(SESSION_ROW, refreshed_at=START + 1.5 * HOUR),
            Sessions(inactivity_timeout=HOUR),
            Validity.VALID,
        ),
        (replace(SESSION_ROW, not_after=START + HOUR), Sessions(), Validity.EXPIRED),
    ],
)
def test_validity_two_hours_after_sign_in(
    session: Session, limits: Sessions, expected: Validity
) -> None:
    assert validity(session, START, START + 2 * HOUR, limits) is expected
