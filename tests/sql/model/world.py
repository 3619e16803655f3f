"""The reference model: what the schema promises, in plain Python and without cleverness.

Every operation either raises ``Refused`` before it changes anything, or changes the world and
notes what was broadcast.
"""

from __future__ import annotations

from typing import Any

from .state import (
    RANKS,
    Event,
    Message,
    Notice,
    Participant,
    Refused,
    Room,
    Settings,
    Tenant,
)


class World:
    """Everybody and everything; ``now`` in seconds."""

    def __init__(self, users: list[str], now: int) -> None:
        self.now = now
        self.users = set(users)
        self.tenants: dict[str, Tenant] = {}
        self.rooms: dict[str, Room] = {}
        self.blocks: set[tuple[str, str]] = set()
        # Of the last step.
        self.events: set[Event] = set()
        self.notices: set[Notice] = set()

    # What the rules ask ------------------------------------------------------------------------

    def is_blocked(self, a: str | None, b: str | None) -> bool:
        """Whether either has blocked the other."""
        return (a, b) in self.blocks or (b, a) in self.blocks

    def is_member(self, tenant: str, user: str) -> bool:
        """Whether the tenant is theirs now."""
        member = self.tenants[tenant].members.get(user)
        return member is not None and not member.is_removed

    def is_moderator(self, tenant: str, user: str) -> bool:
        """Whether they may moderate the tenant."""
        return self.is_member(tenant, user) and self.tenants[tenant].members[user].role != "member"

    def is_banned(self, tenant: str, user: str) -> bool:
        """Whether a ban keeps them out of the tenant."""
        ban = self.tenants[tenant].bans.get(user)
        return ban is not None and (ban.expires_at is None or ban.expires_at > self.now)

    def participant(self, room: Room, user: str) -> Participant:
        """The caller, who must take part."""
        found = room.people.get(user)
        if found is None or found.left_at is not None:
            raise Refused("conversation_not_found")
        return found

    def other(self, room: Room, user: str) -> Participant:
        """Somebody else, who must take part."""
        found = room.people.get(user)
        if found is None or found.left_at is not None:
            raise Refused("participant_not_found")
        return found

    def is_expired(self, message: Message) -> bool:
        """Whether nobody can read it any more."""
        return message.expires_at is not None and message.expires_at <= self.now

    def can_read(self, person: Participant, message: Message) -> bool:
        """Whether they can read it, or its tombstone."""
        return (
            person.left_at is None
            and person.visible_from <= message.seq
            and message.seq not in person.hidden
            and not self.is_expired(message)
        )

    def message(
        self, room: Room, person: Participant, seq: int, *, is_deleted_too: bool = False
    ) -> Message:
        """A message the call is about, which they may have hidden."""
        if max(1, person.visible_from) <= seq <= room.last_seq:
            found = room.messages[seq - 1]
            if not self.is_expired(found) and (is_deleted_too or found.deleted_at is None):
                return found
        raise Refused("message_not_found")

    def check_may_write(self, room: Room, person: Participant) -> None:
        """Whether they may change what others see."""
        if self.is_banned(room.tenant, person.user):
            raise Refused("banned")
        if room.status == "closed":
            raise Refused("conversation_closed")
        if room.kind == "direct" and self.is_blocked(*room.pair):
            raise Refused("blocked")
        if person.silenced_until is not None and person.silenced_until > self.now:
            raise Refused("silenced")

    def check_may_start(self, tenant: str, user: str, others: list[str]) -> None:
        """Whether they may begin to talk to these people."""
        members = [other for other in others if self.is_member(tenant, other)]
        if any(self.is_blocked(user, other) for other in members):
            raise Refused("blocked")
        who = self.tenants[tenant].who_may_start
        if who == "members" or self.is_moderator(tenant, user):
            return
        # Nobody is anybody's contact here.
        if who == "contacts" and not others:
            return
        raise Refused("start_not_allowed")

    def resolve_tenant(self, user: str, tenant: str | None) -> str:
        """The tenant a call is about."""
        mine = [t for t in self.tenants if self.is_member(t, user)]
        if tenant is None:
            if len(mine) != 1:
                raise Refused("tenant_required")
            return mine[0]
        if tenant not in mine:
            raise Refused("not_a_tenant_member")
        return tenant

    def administer(self, room: Room, user: str) -> Participant:
        """The caller, who must administer the conversation."""
        person = self.participant(room, user)
        if room.kind == "direct":
            raise Refused("direct_is_fixed")
        if person.role == "member" and not self.is_moderator(room.tenant, user):
            raise Refused("not_an_admin")
        return person

    def moderate(self, room: Room, user: str) -> None:
        """The caller, who administers the conversation or moderates its tenant."""
        if self.is_moderator(room.tenant, user):
            return
        if self.participant(room, user).role == "member":
            raise Refused("not_an_admin")

    # What changes are made of ------------------------------------------------------------------

    def announce(self, room: Room, name: str, *, on_topic: bool = True) -> int:
        """Takes the conversation's next rev for an event."""
        room.rev += 1
        unread = frozenset((p.user, room.unread(p, self.now)) for p in room.active())
        if on_topic or unread:
            self.events.add(Event(room.id, room.rev, name, room.epoch, on_topic, unread))
        return room.rev

    def touch(self, room: Room, message: Message, name: str) -> None:
        """Something about a message changed."""
        message.is_changed = True
        message.rev = self.announce(room, name)

    def touch_private(self, person: Participant) -> Settings:
        """Something private to them changed."""
        person.settings = person.settings or Settings()
        self.notices.add(Notice(person.user, "private_changed"))
        return person.settings

    def join(self, room: Room, people: list[Participant]) -> None:
        """New people, together; some who may not read what was said begin a new epoch."""
        for person in people:
            room.people[person.user] = person
        is_partial = any(person.visible_from > 1 for person in people)
        room.epoch += is_partial
        rev = self.announce(room, "participant_joined", on_topic=not is_partial)
        for person in people:
            person.rev = rev

    def come_back(self, room: Room, person: Participant) -> None:
        """Somebody who had left."""
        person.left_at = None
        is_partial = person.visible_from > 1
        room.epoch += is_partial
        person.rev = self.announce(room, "participant_joined", on_topic=not is_partial)

    def depart(self, room: Room, person: Participant, *, is_deleted: bool = False) -> None:
        """Somebody leaves, by whoever's will; owners are succeeded."""
        person.left_at = self.now
        if is_deleted:
            del room.people[person.user]
        room.epoch += 1
        rev = person.rev = self.announce(room, "participant_left", on_topic=False)
        self.notices.add(Notice(person.user, "participant_left"))
        rest = room.active()
        if room.kind != "direct" and rest and all(p.role != "owner" for p in rest):
            heir = min(rest, key=lambda p: (RANKS[p.role], p.joined_at, p.user))
            heir.role, heir.rev = "owner", rev

    def leave_tenant(self, tenant: str, user: str) -> None:
        """Leaving a tenant is leaving its conversations."""
        self.tenants[tenant].members[user].is_removed = True
        for room in self.rooms.values():
            person = room.people.get(user)
            if room.tenant == tenant and person is not None and person.left_at is None:
                self.depart(room, person)

    def set_tier(self, tenant: str, user: str, tier: str) -> None:
        """Messages they sent follow."""
        member = self.tenants[tenant].members[user]
        member.set_tier(tier, self.now)
        for room in self.rooms.values():
            if room.tenant != tenant:
                continue
            theirs = [m for m in room.messages if m.sender == user]
            changed = [m for m in theirs if m.expires_at != member.expiry(m.created_at)]
            for message in changed:
                message.expires_at = member.expiry(message.created_at)
            if changed:
                self.announce(room, "retention_changed")

    def append(self, room: Room, sender: str | None, **more: Any) -> Message:
        """A new message, numbered."""
        member = self.tenants[room.tenant].members[sender] if sender else None
        message = Message(
            seq=room.last_seq + 1,
            sender=sender,
            created_at=self.now,
            expires_at=member.expiry(self.now) if member else None,
            rev=room.rev + 1,
            **more,
        )
        room.messages.append(message)
        room.last_activity = self.now
        if sender:
            room.people[sender].last_sent_at = self.now
        if message.thread_root is not None:
            self._follow(room, message, room.messages[message.thread_root - 1])
        self.announce(room, "message_created")
        return message

    def _follow(self, room: Room, message: Message, root: Message) -> None:
        """A thread goes on, and is followed by its author and whoever writes in it."""
        root.rev, root.is_changed = message.rev, True
        for person in room.active():
            if person.visible_from > root.seq:
                continue
            if person.user == message.sender:
                read_to, _ = person.threads.get(root.seq, (message.seq, True))
                person.threads[root.seq] = (read_to, True)
            elif person.user == root.sender:
                person.threads.setdefault(root.seq, (root.seq, True))
