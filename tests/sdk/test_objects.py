"""What one does in a conversation, each method against the running stack."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from parley import (
    AsyncConversation,
    ConflictError,
    File,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    Progress,
    new_id,
)
from support.stacks import Stack

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Person, Room

    People = Callable[..., Awaitable[Person]]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1000


@pytest.fixture
async def group(people: People) -> tuple[AsyncConversation, AsyncConversation, Person]:
    """A group as its owner and as a member see it, and the member."""
    owner, member = await people("owner"), await people("member")
    made = await owner.parley.conversations.start_group("Tea", users=[member.id])
    return made, await member.parley.conversations.get(made.id), member


async def test_everything_of_a_person(room: Room, tmp_path: Path) -> None:
    await room.as_alice.send("mine")
    seen: list[int] = []
    written = await room.alice.parley.exports.write(
        on_progress=lambda export: seen.append(export.row_count)
    )
    assert written.finished_at is not None
    assert seen[0] == 0
    saved: list[Progress] = []
    rows = await room.alice.parley.exports.save(written, tmp_path, on_progress=saved.append)
    assert len(rows.read_text().splitlines()) == written.row_count > 0
    assert saved[-1].done_bytes == rows.stat().st_size
    (listed,) = (await room.alice.parley.exports.list()).items
    assert listed.id == written.id
    assert (await room.bob.parley.exports.list()).items == ()


async def test_replies_threads_edits_and_deletions(room: Room) -> None:
    first = await room.as_alice.send("first")
    answer = await room.as_bob.reply(first, "answer", mentions=[room.alice.id])
    aside = await room.as_bob.send("aside", thread=first)
    in_thread = await room.as_alice.reply(aside, "in the thread")
    assert (answer.reply_to_seq, answer.thread_root_seq) == (first.seq, None)
    assert (in_thread.reply_to_seq, in_thread.thread_root_seq) == (aside.seq, first.seq)
    assert [m.seq for m in (await room.as_alice.thread(first)).items] == [4, 3]
    assert (await room.as_alice.message(1)).thread_count == 2
    assert [m.user_id for m in await room.as_alice.mentions(answer)] == [room.alice.id]

    edited = await room.as_alice.edit(first, "first, better")
    assert edited.edited_at is not None
    assert [r.body for r in await room.as_bob.revisions(first)] == ["first"]
    with pytest.raises(PermissionDeniedError) as raised:
        await room.as_bob.edit(first, "mine now")
    assert raised.value.code == "not_the_sender"

    gone = await room.as_bob.delete(answer)
    assert gone.body is None
    assert gone.deleted_at is not None


async def test_history_from_the_beginning(room: Room) -> None:
    for number in range(1, 6):
        await room.as_alice.send(f"message {number}")
    page = await room.as_bob.history(after=0, limit=2)
    assert [message.seq for message in page.items] == [1, 2]
    assert [message.seq async for message in page] == [1, 2, 3, 4, 5]
    assert [message.seq async for message in await room.as_bob.history(after=4)] == [5]
    with pytest.raises(InvalidRequestError):
        await room.as_bob.history(after=1, before=4)


async def test_marks_on_messages(room: Room) -> None:
    message = await room.as_alice.send("look")
    (reaction,) = await room.as_bob.react(message, "👍")
    assert (reaction.emoji, reaction.count, reaction.is_mine) == ("👍", 1, True)
    (shown,) = (await room.as_alice.history()).items
    assert shown.reactions is not None
    assert [(r.count, r.is_mine) for r in shown.reactions] == [(1, False)]
    assert [r.user_id for r in await room.as_alice.reactions(message)] == [room.bob.id]
    assert await room.as_bob.unreact(message, "👍") == ()

    pin = await room.as_bob.pin(message)
    assert (pin.message_seq, pin.pinned_by) == (1, room.bob.id)
    assert [p.message_seq for p in await room.as_alice.pins()] == [1]
    await room.as_alice.unpin(message)
    assert await room.as_alice.pins() == ()

    assert (await room.as_bob.save(message, note="later")).note == "later"
    assert (await room.as_bob.save(message)).note is None
    assert [s.message_seq async for s in await room.bob.parley.inbox.saved_messages()] == [1]
    await room.as_bob.unsave(message)
    assert (await room.bob.parley.inbox.saved_messages()).items == ()

    await room.as_bob.hide(message)
    assert (await room.as_bob.history()).items == ()
    assert [h.message_seq for h in await room.as_bob.hidden()] == [1]
    await room.as_bob.unhide(message)
    assert len((await room.as_bob.history()).items) == 1


async def test_what_is_read(room: Room) -> None:
    for number in range(3):
        await room.as_alice.send(f"message {number}")
    await room.as_bob.mark_delivered()
    await room.as_bob.mark_read(2)
    (receipt,) = await room.as_alice.receipts(2)
    assert receipt.user_id == room.bob.id
    assert receipt.read_at is not None
    (late,) = await room.as_alice.receipts(3)
    assert late.delivered_at is not None
    assert late.read_at is None
    moved = [r for r in await room.as_alice.receipt_log() if r.user_id == room.bob.id]
    assert [r.last_read_seq for r in moved] == [2, 0]
    (total,) = await room.bob.parley.inbox.unread_totals()
    assert (total.unread_count, total.conversation_count) == (1, 1)
    await room.as_bob.mark_unread(1)
    entry = await room.bob.parley.inbox.get(room.as_bob.id)
    assert entry.unread_count == 3
    assert entry.name.startswith("alice")
    assert await room.as_bob.unread_by_party() == ()


async def test_threads_are_followed_and_read(room: Room) -> None:
    root = await room.as_alice.send("root")
    await room.as_bob.send("in it", thread=root)
    (thread,) = (await room.alice.parley.inbox.threads()).items
    assert (thread.thread_root_seq, thread.unread_count) == (1, 1)
    assert (await room.as_alice.threads.mark_read(root)).last_read_seq == 2
    assert not (await room.as_alice.threads.unfollow(root)).is_following
    assert (await room.as_alice.threads.follow(root)).is_following
    assert [t.thread_root_seq for t in await room.as_alice.threads.list()] == [1]
    quiet = await room.as_bob.send("nobody has answered yet")
    await room.as_alice.threads.follow(quiet)
    pages = await room.alice.parley.inbox.threads(limit=1)
    assert [(t.thread_root_seq, t.last_seq) async for t in pages] == [(3, 3), (1, 2)]


async def test_participants(
    group: tuple[AsyncConversation, AsyncConversation, Person], people: People
) -> None:
    as_owner, as_member, member = group
    other = await people("other")
    (joined,) = await as_owner.participants.add([other.id], see_history=False)
    assert joined.user_id == other.id
    assert [p.user_id for p in (await as_member.participants.list()).items][-1] == other.id
    assert (await as_owner.participants.set_role(member.id, "admin")).role == "admin"
    silenced = await as_owner.participants.silence(other.id, until="infinity")
    assert silenced.silenced_until == "infinity"
    assert (await as_owner.participants.unsilence(other.id)).silenced_until is None
    await as_owner.participants.remove(other.id)
    with pytest.raises(NotFoundError) as raised:
        await as_owner.participants.remove(other.id)
    assert raised.value.code == "participant_not_found"
    page = await as_owner.participants.list(limit=1, with_former=True)
    assert len([p async for p in page]) == 3
    await as_member.leave()
    assert [p.role async for p in await as_owner.participants.list()] == ["owner"]


async def test_the_conversation_itself(
    group: tuple[AsyncConversation, AsyncConversation, Person],
) -> None:
    as_owner, as_member, _ = group
    await as_owner.rename("Coffee")
    assert as_owner.title == "Coffee"
    assert (await as_owner.set_slow_mode(30)).slow_mode_seconds == 30
    assert (await as_owner.close()).status == "closed"
    with pytest.raises(PermissionDeniedError) as raised:
        await as_member.send("too late")
    assert raised.value.code == "conversation_closed"
    assert raised.value.hint
    assert (await as_owner.reopen()).status == "open"
    with pytest.raises(PermissionDeniedError):
        await as_member.rename("Mine")
    changes = await as_owner.sync()
    again = await as_owner.sync(changes.cursor)
    assert again.conversations == ()


async def test_settings_are_ones_own(room: Room) -> None:
    settings = room.as_alice.settings
    assert not (await settings.get()).is_pinned
    assert (await settings.mute()).muted_until == "infinity"
    assert (await settings.pin()).muted_until == "infinity"
    assert (await settings.archive()).is_archived
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await settings.mute(until=later)).muted_until == later
    assert not (await room.as_bob.settings.get()).is_archived
    inbox = room.alice.parley.inbox
    assert [e.is_muted for e in (await inbox.list(archived=True, pinned=True)).items] == [True]
    assert (await inbox.list(archived=False)).items == ()
    assert (await settings.unmute()).muted_until is None
    assert not (await settings.unpin()).is_pinned
    assert not (await settings.unarchive()).is_archived


async def test_drafts_and_scheduled_messages(room: Room) -> None:
    assert await room.as_alice.drafts.get() is None
    await room.as_alice.drafts.save("I was going to")
    await room.as_alice.drafts.save("I was going to say")
    draft = await room.as_alice.drafts.get()
    assert draft is not None
    assert draft.body == "I was going to say"
    await room.as_alice.drafts.discard()
    assert await room.as_alice.drafts.get() is None

    at = datetime.now(UTC) + timedelta(hours=1)
    scheduled = await room.as_alice.scheduled.add("happy birthday", send_at=at)
    assert [s.id for s in await room.as_alice.scheduled.list()] == [scheduled.id]
    assert await room.as_bob.scheduled.list() == ()
    changed = await room.as_alice.scheduled.update(scheduled, body="Happy birthday!")
    assert changed.body == "Happy birthday!"
    assert len(await room.alice.parley.inbox.scheduled_messages()) == 1
    await room.as_alice.scheduled.cancel(scheduled)
    assert await room.as_alice.scheduled.list() == ()


async def test_polls(room: Room) -> None:
    poll = await room.as_alice.polls.start("Tea?", options=["yes", "no"])
    results = await room.as_bob.polls.vote(poll, ["1"])
    assert [(o.id, o.count, o.is_mine) for o in results.options] == [
        ("1", 1, True),
        ("2", 0, False),
    ]
    assert [v.option_id for v in await room.as_alice.polls.votes(poll)] == ["1"]
    shown = await room.as_alice.message(poll)
    assert shown.poll_results is not None
    assert shown.poll_results.voter_count == 1
    assert (await room.as_alice.polls.close(poll)).is_closed
    with pytest.raises(ConflictError) as raised:
        await room.as_bob.polls.vote(poll, [])
    assert raised.value.code == "poll_closed"


async def test_attachments(room: Room, tmp_path: Path) -> None:
    (tmp_path / "a photo.png").write_bytes(PNG)
    seen: list[Progress] = []
    message = await room.as_alice.attachments.send(
        [tmp_path / "a photo.png", File(b"GIF89a", name="ü.gif", width=1, height=1)],
        body="two of them",
        on_progress=seen.append,
    )
    assert message.kind == "image"
    assert seen[-2].done_bytes == seen[-2].total_bytes == len(PNG)
    first, second = await room.as_bob.attachments.of(message)
    assert (first.name, first.size_bytes, second.name) == ("a photo.png", len(PNG), "ü.gif")
    assert await room.as_bob.attachments.read(first) == PNG
    target = await room.as_bob.attachments.save(first, tmp_path / "copy.png")
    assert target.read_bytes() == PNG
    url = await room.as_bob.attachments.url(first, expires_in=60, download=True)
    answer = await room.bob.parley._services.http.client.get(url)
    assert answer.content == PNG
    assert "attachment" in answer.headers["content-disposition"]
    assert len((await room.as_bob.attachments.list(limit=1)).items) == 1
    (shown,) = (await room.as_bob.history()).items
    assert shown.attachments is not None
    assert len(shown.attachments) == 2


async def test_what_may_not_be_attached_fails_before_the_upload(room: Room) -> None:
    send = room.as_alice.attachments.send
    for files, code in (
        ([File(b"x" * 10485761, name="large.png")], "attachment_too_large"),
        ([File(b"MZ", name="x.exe")], "attachment_type_not_allowed"),
        ([File(b"GIF89a", name="x.gif")] * 11, "too_many_attachments"),
        ([], "attachments_required"),
    ):
        with pytest.raises(InvalidRequestError) as raised:
            await send(files)
        assert raised.value.code == code


async def test_contacts_and_blocks(people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    asked = await alice.parley.contacts.request(bob.username)
    assert asked.other(alice.id) == bob.id
    assert (await bob.parley.contacts.accept(alice.id)).state == "accepted"
    assert [c.state for c in await alice.parley.contacts.list(state="accepted")] == ["accepted"]
    await alice.parley.contacts.remove(bob.id)
    await bob.parley.contacts.request(alice.id)
    await alice.parley.contacts.decline(bob.id)
    assert await bob.parley.contacts.list() == ()

    await alice.parley.contacts.block(bob.id)
    await alice.parley.contacts.block(bob.id)
    assert [b.blocked_id for b in await alice.parley.contacts.blocked()] == [bob.id]
    with pytest.raises(PermissionDeniedError):
        await bob.parley.conversations.start_direct(alice.id)
    await alice.parley.contacts.unblock(bob.id)
    assert await alice.parley.contacts.blocked() == ()
    report = await alice.parley.contacts.report(bob.id, reason="spam", details="so much")
    assert report.state == "open"


async def test_me_and_people(people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    with pytest.raises(NotFoundError):
        await bob.parley.search.profile(alice.username)
    await bob.parley.conversations.start_direct(alice.username)
    assert (await alice.parley.me.profile()).username == alice.username
    changed = await alice.parley.me.update(display_name="Alice A. (100%)")
    assert changed.display_name == "Alice A. (100%)"
    assert (await alice.parley.me.update(display_name=None)).display_name is None
    with pytest.raises(ConflictError) as raised:
        await alice.parley.me.update(username=bob.username.upper())
    assert raised.value.code == "profiles_username_key"
    await alice.parley.me.set_status("away")
    assert (await bob.parley.search.profile(alice.username.upper())).status == "away"
    assert [p.id for p in await bob.parley.search.people(alice.username[:14])] == [alice.id]
    assert await bob.parley.search.people("%") == ()
    with pytest.raises(NotFoundError):
        await bob.parley.search.profile("nobody_at_all")
    (membership,) = await alice.parley.me.memberships()
    assert membership.role == "member"
    (tenant,) = await alice.parley.tenants.list()
    assert tenant.id == membership.tenant_id
    assert (await alice.parley.tenants.settings(tenant.id)).message_max_length == 10_000
    assert len((await alice.parley.tenants.members(tenant.id, limit=1)).items) == 1
    assert {tier.name for tier in await alice.parley.tenants.tiers()} >= {"free"}
    with pytest.raises(NotFoundError):
        await alice.parley.tenants.update_settings(tenant.id, max_participants=3)
    with pytest.raises(NotFoundError) as none:
        await alice.parley.me.return_after_ban()
    assert none.value.code == "ban_not_found"


async def test_search(room: Room) -> None:
    for number in range(5):
        await room.as_alice.send(f"the teapot number {number} <whistles>")
    page = await room.bob.parley.search.messages("teapot", limit=2)
    assert len(page.items) == 2
    assert "<mark>teapot</mark>" in page.items[0].snippet
    assert [hit.message.seq async for hit in page] == [5, 4, 3, 2, 1]
    ranked = await room.bob.parley.search.messages(
        "teapot", conversation_id=room.as_bob.id, sender_id=room.alice.id, order_by="ranked"
    )
    assert len(ranked.items) == 5
    assert (await room.bob.parley.search.messages("kettle")).items == ()


async def test_notifications_and_devices(room: Room) -> None:
    message = await room.as_alice.send("hey", mentions=[room.bob.id])
    feed = room.bob.parley.notifications
    (notification,) = [n for n in (await feed.list(unread=True)).items if n.type == "mention"]
    assert (notification.conversation_id, notification.message_seq) == (room.as_bob.id, message.seq)
    assert await feed.count_unread() >= 1
    assert await feed.mark_read([notification]) == 1
    assert await feed.mark_all_read(up_to=notification) == 0
    await feed.delete(notification)
    assert notification.id not in [n.id for n in (await feed.list()).items]

    assert (await feed.preferences()).push == "all"
    quiet = await feed.set_preferences(
        push="mentions", quiet_from=time(22), quiet_until=time(7), timezone="Europe/Berlin"
    )
    assert (quiet.quiet_from, quiet.timezone) == (time(22), "Europe/Berlin")
    assert (await feed.set_preferences(types_off=["reaction"])).push == "mentions"

    devices = room.bob.parley.devices
    chosen = new_id()
    assert (await devices.register(chosen, name="laptop")).id == chosen
    assert (await devices.rename(chosen, "old laptop")).name == "old laptop"
    assert [d.id for d in await devices.list()] == [chosen]
    await devices.forget(chosen)
    await devices.register(chosen)
    await devices.revoke(chosen)
    with pytest.raises(NotFoundError):
        await devices.revoke(uuid.uuid4())


async def make_admin(stack: Stack, user_id: uuid.UUID) -> None:
    async with await psycopg.AsyncConnection.connect(stack.db_url, autocommit=True) as db:
        await db.execute(
            "update chat.tenant_members set role = 'admin' where user_id = %s", (user_id,)
        )


async def test_subjects(stack: Stack, people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    await make_admin(stack, alice.id)
    number = uuid.uuid4().hex
    room = await alice.parley.conversations.open_subject(
        "order", id=number, participants={bob.id: "agent"}, title="Your order"
    )
    again = await bob.parley.conversations.open_subject("order", id=number)
    assert again.id == room.id
    await room.send("Where is it?")
    (party,) = await again.unread_by_party()
    assert (party.party, party.unread_count) == ("agent", 1)


async def test_retention(stack: Stack, people: People) -> None:
    admin, member = await people("admin"), await people("member")
    await make_admin(stack, admin.id)
    retention = admin.parley.retention
    room = await admin.parley.conversations.start_direct(member.id)
    message = await room.send("to be kept")
    hold = await retention.place_hold("case 4711", conversation_id=room.id)
    assert hold.id in [h.id async for h in await retention.holds()]
    assert (await member.parley.retention.holds()).items == ()
    with pytest.raises(PermissionDeniedError):
        await member.parley.retention.preview()
    await room.delete(message)
    later = datetime.now(UTC) + timedelta(days=60)
    preview = await retention.preview(at=later, policy={"tiers": {"free": "30 days"}})
    assert sum(row.held_messages for row in preview if row.step == "purge") >= 1
    await retention.lift_hold(hold)
    with pytest.raises(NotFoundError):
        await retention.lift_hold(hold)
    assert await room.restore([message]) == 1
    assert (await room.message(message.seq)).body == "to be kept"
    assert (await retention.purge_runs()).items == ()
    assert (await retention.tier_changes(user=admin.id)).items == ()
    # Tests share a tenant.
    await admin.parley.tenants.update_settings(room.tenant_id, may_set_retention=False)
    with pytest.raises(PermissionDeniedError, match="cannot decide"):
        await room.set_retention(timedelta(days=7))
    await admin.parley.tenants.update_settings(room.tenant_id, may_set_retention=True)
    try:
        assert (await room.set_retention(timedelta(days=7))).retention == "7 days"
        assert (await room.set_retention(None)).retention is None
    finally:
        await admin.parley.tenants.update_settings(room.tenant_id, may_set_retention=False)


async def test_moderation(stack: Stack, people: People) -> None:
    moderator, spammer, member = await people("moderator"), await people("spam"), await people("m")
    room = await spammer.parley.conversations.start_direct(member.id)
    message = await room.send("buy now")
    as_member = await member.parley.conversations.get(room.id)
    report = await as_member.report(message, reason="spam")
    with pytest.raises(PermissionDeniedError):
        await member.parley.moderation.ban(spammer.id)
    await make_admin(stack, moderator.id)
    moderation = moderator.parley.moderation
    assert report.id in [r.id async for r in await moderation.reports()]
    evidence = await moderation.evidence(report)
    assert evidence is not None
    assert evidence.body == "buy now"
    closed = await moderation.resolve_report(report, state="resolved", resolution="gone")
    assert closed.state == "resolved"
    ban = await moderation.ban(spammer.id, reason="spam")
    assert ban.id in [b.id for b in (await moderation.bans()).items]
    with pytest.raises(NotFoundError):
        await room.send("but")
    assert (await moderation.unban(spammer.id)).lifted_at is not None
    log = await moderation.audit_log(limit=2)
    assert len(log.items) == 2
    assert log.next_cursor is not None
    assert len({entry.seq async for entry in log}) > 2
    assert (await moderation.verify_audit_log()).broken_seq is None
