"""Drop-in messaging for Supabase: the Python SDK.

async with AsyncParley(url, key) as parley:
    await parley.auth.sign_in_with_password("alice@example.com", "...")
    room = await parley.conversations.start_direct("bob")
    await room.send("hello")
    async for event in room.events():
        print(event)

``Parley`` is the same without ``async`` and ``await``, and without what listens.
"""

# Long, because each name stands here three times: for type checkers, for readers, and to find it
# when it is used. A test compares the three.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._async.attachments import AsyncAttachments
    from ._async.auth import AsyncAuth
    from ._async.client import AsyncParley
    from ._async.contacts import AsyncContacts
    from ._async.conversation import AsyncConversation
    from ._async.conversations import AsyncConversations
    from ._async.devices import AsyncDevices
    from ._async.drafts import AsyncDrafts
    from ._async.exports import AsyncExports
    from ._async.inbox import AsyncInbox
    from ._async.me import AsyncMe
    from ._async.moderation import AsyncModeration
    from ._async.notifications import AsyncNotifications
    from ._async.outbox import AsyncOutbox
    from ._async.page import AsyncPage
    from ._async.participants import AsyncParticipants
    from ._async.polls import AsyncPolls
    from ._async.retention import AsyncRetention
    from ._async.scheduled import AsyncScheduled
    from ._async.search import AsyncSearch
    from ._async.settings import AsyncSettings
    from ._async.tenants import AsyncTenants
    from ._async.threads import AsyncThreads
    from ._errors import (
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        InvalidRequestError,
        NotFoundError,
        ParleyError,
        PermissionDeniedError,
        RateLimitedError,
        RequestTimeoutError,
        ServerError,
    )
    from ._events import (
        AttachmentsAdded,
        ContactChanged,
        ConversationAdded,
        ConversationEvent,
        ConversationRemoved,
        ConversationUpdated,
        Event,
        HistoryChanged,
        InboxEvent,
        JoinedParticipant,
        MessageCreated,
        MessageDeleted,
        MessagePinned,
        MessageUnpinned,
        MessageUpdated,
        NotificationCreated,
        NotificationsRead,
        ParticipantJoined,
        ParticipantLeft,
        ParticipantUpdated,
        PollClosed,
        PollVoted,
        PrivateChanged,
        ReactionAdded,
        ReactionRemoved,
        ReceiptMoved,
        Resumed,
        UserBlocked,
        UserUnblocked,
    )
    from ._files import File, Progress
    from ._ids import new_id
    from ._live.inbox import InboxStream
    from ._live.stream import EventStream
    from ._live.typing import Typing
    from ._models import (
        Attachment,
        AuditCheck,
        AuditEntry,
        Ban,
        Block,
        Changes,
        Contact,
        ConversationChanges,
        ConversationInfo,
        Counterpart,
        Device,
        Draft,
        Evidence,
        HiddenMessage,
        InboxEntry,
        LegalHold,
        Mention,
        Message,
        MessageReceipt,
        Notification,
        NotificationPreferences,
        Participant,
        ParticipantSettings,
        PersonalExport,
        Pin,
        PollOption,
        PollResults,
        PrivateState,
        Profile,
        PurgeRun,
        Reaction,
        Receipt,
        Report,
        RetentionPreview,
        Revision,
        SavedMessage,
        ScheduledMessage,
        SearchHit,
        Tenant,
        TenantMember,
        TenantSettings,
        Thread,
        ThreadRead,
        Tier,
        TierChange,
        UnreadByParty,
        UnreadTotal,
        User,
        UserReaction,
        Vote,
        WrittenExport,
    )
    from ._outbox import Waiting
    from ._sync.attachments import Attachments
    from ._sync.auth import Auth
    from ._sync.client import Parley
    from ._sync.contacts import Contacts
    from ._sync.conversation import Conversation
    from ._sync.conversations import Conversations
    from ._sync.devices import Devices
    from ._sync.drafts import Drafts
    from ._sync.exports import Exports
    from ._sync.inbox import Inbox
    from ._sync.me import Me
    from ._sync.moderation import Moderation
    from ._sync.notifications import Notifications
    from ._sync.outbox import Outbox
    from ._sync.page import Page
    from ._sync.participants import Participants
    from ._sync.polls import Polls
    from ._sync.retention import Retention
    from ._sync.scheduled import Scheduled
    from ._sync.search import Search
    from ._sync.settings import Settings
    from ._sync.tenants import Tenants
    from ._sync.threads import Threads
    from ._version import __version__

__all__ = [
    "AsyncAttachments",
    "AsyncAuth",
    "AsyncContacts",
    "AsyncConversation",
    "AsyncConversations",
    "AsyncDevices",
    "AsyncDrafts",
    "AsyncExports",
    "AsyncInbox",
    "AsyncMe",
    "AsyncModeration",
    "AsyncNotifications",
    "AsyncOutbox",
    "AsyncPage",
    "AsyncParley",
    "AsyncParticipants",
    "AsyncPolls",
    "AsyncRetention",
    "AsyncScheduled",
    "AsyncSearch",
    "AsyncSettings",
    "AsyncTenants",
    "AsyncThreads",
    "Attachment",
    "Attachments",
    "AttachmentsAdded",
    "AuditCheck",
    "AuditEntry",
    "Auth",
    "AuthenticationError",
    "Ban",
    "Block",
    "Changes",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "Contact",
    "ContactChanged",
    "Contacts",
    "Conversation",
    "ConversationAdded",
    "ConversationChanges",
    "ConversationEvent",
    "ConversationInfo",
    "ConversationRemoved",
    "ConversationUpdated",
    "Conversations",
    "Counterpart",
    "Device",
    "Devices",
    "Draft",
    "Drafts",
    "Event",
    "EventStream",
    "Evidence",
    "Exports",
    "File",
    "HiddenMessage",
    "HistoryChanged",
    "Inbox",
    "InboxEntry",
    "InboxEvent",
    "InboxStream",
    "InvalidRequestError",
    "JoinedParticipant",
    "LegalHold",
    "Me",
    "Mention",
    "Message",
    "MessageCreated",
    "MessageDeleted",
    "MessagePinned",
    "MessageReceipt",
    "MessageUnpinned",
    "MessageUpdated",
    "Moderation",
    "NotFoundError",
    "Notification",
    "NotificationCreated",
    "NotificationPreferences",
    "Notifications",
    "NotificationsRead",
    "Outbox",
    "Page",
    "Parley",
    "ParleyError",
    "Participant",
    "ParticipantJoined",
    "ParticipantLeft",
    "ParticipantSettings",
    "ParticipantUpdated",
    "Participants",
    "PermissionDeniedError",
    "PersonalExport",
    "Pin",
    "PollClosed",
    "PollOption",
    "PollResults",
    "PollVoted",
    "Polls",
    "PrivateChanged",
    "PrivateState",
    "Profile",
    "Progress",
    "PurgeRun",
    "RateLimitedError",
    "Reaction",
    "ReactionAdded",
    "ReactionRemoved",
    "Receipt",
    "ReceiptMoved",
    "Report",
    "RequestTimeoutError",
    "Resumed",
    "Retention",
    "RetentionPreview",
    "Revision",
    "SavedMessage",
    "Scheduled",
    "ScheduledMessage",
    "Search",
    "SearchHit",
    "ServerError",
    "Settings",
    "Tenant",
    "TenantMember",
    "TenantSettings",
    "Tenants",
    "Thread",
    "ThreadRead",
    "Threads",
    "Tier",
    "TierChange",
    "Typing",
    "UnreadByParty",
    "UnreadTotal",
    "User",
    "UserBlocked",
    "UserReaction",
    "UserUnblocked",
    "Vote",
    "Waiting",
    "WrittenExport",
    "__version__",
    "new_id",
]

# Where each name is: a module is imported when a name of it is used, for that takes a while.
_MODULES = {
    "_async.attachments": ("AsyncAttachments",),
    "_async.auth": ("AsyncAuth",),
    "_async.client": ("AsyncParley",),
    "_async.contacts": ("AsyncContacts",),
    "_async.conversation": ("AsyncConversation",),
    "_async.conversations": ("AsyncConversations",),
    "_async.devices": ("AsyncDevices",),
    "_async.drafts": ("AsyncDrafts",),
    "_async.exports": ("AsyncExports",),
    "_async.inbox": ("AsyncInbox",),
    "_async.me": ("AsyncMe",),
    "_async.moderation": ("AsyncModeration",),
    "_async.notifications": ("AsyncNotifications",),
    "_async.outbox": ("AsyncOutbox",),
    "_async.page": ("AsyncPage",),
    "_async.participants": ("AsyncParticipants",),
    "_async.polls": ("AsyncPolls",),
    "_async.retention": ("AsyncRetention",),
    "_async.scheduled": ("AsyncScheduled",),
    "_async.search": ("AsyncSearch",),
    "_async.settings": ("AsyncSettings",),
    "_async.tenants": ("AsyncTenants",),
    "_async.threads": ("AsyncThreads",),
    "_errors": (
        "AuthenticationError",
        "ConfigurationError",
        "ConflictError",
        "ConnectionFailedError",
        "InvalidRequestError",
        "NotFoundError",
        "ParleyError",
        "PermissionDeniedError",
        "RateLimitedError",
        "RequestTimeoutError",
        "ServerError",
    ),
    "_events": (
        "AttachmentsAdded",
        "ContactChanged",
        "ConversationAdded",
        "ConversationEvent",
        "ConversationRemoved",
        "ConversationUpdated",
        "Event",
        "HistoryChanged",
        "InboxEvent",
        "JoinedParticipant",
        "MessageCreated",
        "MessageDeleted",
        "MessagePinned",
        "MessageUnpinned",
        "MessageUpdated",
        "NotificationCreated",
        "NotificationsRead",
        "ParticipantJoined",
        "ParticipantLeft",
        "ParticipantUpdated",
        "PollClosed",
        "PollVoted",
        "PrivateChanged",
        "ReactionAdded",
        "ReactionRemoved",
        "ReceiptMoved",
        "Resumed",
        "UserBlocked",
        "UserUnblocked",
    ),
    "_files": (
        "File",
        "Progress",
    ),
    "_ids": ("new_id",),
    "_live.inbox": ("InboxStream",),
    "_live.stream": ("EventStream",),
    "_live.typing": ("Typing",),
    "_models": (
        "Attachment",
        "AuditCheck",
        "AuditEntry",
        "Ban",
        "Block",
        "Changes",
        "Contact",
        "ConversationChanges",
        "ConversationInfo",
        "Counterpart",
        "Device",
        "Draft",
        "Evidence",
        "HiddenMessage",
        "InboxEntry",
        "LegalHold",
        "Mention",
        "Message",
        "MessageReceipt",
        "Notification",
        "NotificationPreferences",
        "Participant",
        "ParticipantSettings",
        "PersonalExport",
        "Pin",
        "PollOption",
        "PollResults",
        "PrivateState",
        "Profile",
        "PurgeRun",
        "Reaction",
        "Receipt",
        "Report",
        "RetentionPreview",
        "Revision",
        "SavedMessage",
        "ScheduledMessage",
        "SearchHit",
        "Tenant",
        "TenantMember",
        "TenantSettings",
        "Thread",
        "ThreadRead",
        "Tier",
        "TierChange",
        "UnreadByParty",
        "UnreadTotal",
        "User",
        "UserReaction",
        "Vote",
        "WrittenExport",
    ),
    "_sync.attachments": ("Attachments",),
    "_sync.auth": ("Auth",),
    "_sync.client": ("Parley",),
    "_sync.contacts": ("Contacts",),
    "_sync.conversation": ("Conversation",),
    "_sync.conversations": ("Conversations",),
    "_sync.devices": ("Devices",),
    "_sync.drafts": ("Drafts",),
    "_sync.exports": ("Exports",),
    "_sync.inbox": ("Inbox",),
    "_sync.me": ("Me",),
    "_sync.moderation": ("Moderation",),
    "_sync.notifications": ("Notifications",),
    "_outbox": ("Waiting",),
    "_sync.outbox": ("Outbox",),
    "_sync.page": ("Page",),
    "_sync.participants": ("Participants",),
    "_sync.polls": ("Polls",),
    "_sync.retention": ("Retention",),
    "_sync.scheduled": ("Scheduled",),
    "_sync.search": ("Search",),
    "_sync.settings": ("Settings",),
    "_sync.tenants": ("Tenants",),
    "_sync.threads": ("Threads",),
    "_version": ("__version__",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _PLACES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
