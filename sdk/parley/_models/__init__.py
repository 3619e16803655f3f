"""What the API returns, as frozen models."""

from __future__ import annotations

from .base import Model
from .conversations import (
    ConversationInfo,
    Draft,
    InboxEntry,
    Participant,
    ParticipantSettings,
    Receipt,
    ScheduledMessage,
    Thread,
    ThreadRead,
    UnreadByParty,
    UnreadTotal,
)
from .exports import PersonalExport, WrittenExport
from .messages import (
    Attachment,
    HiddenMessage,
    Mention,
    Message,
    MessageReceipt,
    Pin,
    PollOption,
    PollResults,
    Reaction,
    Revision,
    SavedMessage,
    SearchHit,
    UserReaction,
    Vote,
)
from .moderation import AuditCheck, AuditEntry, Ban, Evidence, Report
from .notifications import Notification, NotificationPreferences
from .people import Block, Contact, Counterpart, Device, Profile, User
from .retention import LegalHold, PurgeRun, RetentionPreview, TierChange
from .sync import Changes, ConversationChanges, PrivateState
from .tenants import Tenant, TenantMember, TenantSettings, Tier

__all__ = [
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
    "Model",
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
]
