"""The mails Auth sends: their text, and the local box they are put into.

A project's own templates (``[auth.email.template.*]``) are Go templates. What is understood here
is ``{{ .Name }}`` and ``{{ .Data.name }}`` for the variables below; other actions stay as they
are, and a warning says so.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlencode

from .database import Connection
from .objects import User
from .one_time import Code
from .redirects import quoted
from .server import Server

log = logging.getLogger(__name__)

KEPT = 1000
"""How many mails the box holds; older ones go."""

_VARIABLE = re.compile(r"\{\{-?\s*\.([A-Za-z]+)((?:\.\w+)*)\s*-?\}\}")
_INSERT = """insert into parley_stack.mails (
    kind, recipient, subject, html, token, token_hash, link, redirect_to
)
values (%s, %s, %s, %s, %s, %s, %s, %s)"""
_TRIM = """delete from parley_stack.mails
where number <= (select max(number) from parley_stack.mails) - %s"""


class Kind(Enum):
    """Kinds of mail: what ``type`` in a link says."""

    SIGNUP = "signup"
    INVITE = "invite"
    MAGICLINK = "magiclink"
    RECOVERY = "recovery"
    EMAIL_CHANGE = "email_change"
    REAUTHENTICATION = "reauthentication"


TEMPLATES = {
    Kind.SIGNUP: "confirmation",
    Kind.INVITE: "invite",
    Kind.MAGICLINK: "magic_link",
    Kind.RECOVERY: "recovery",
    Kind.EMAIL_CHANGE: "email_change",
    Kind.REAUTHENTICATION: "reauthentication",
}
"""Keys of ``[auth.email.template.*]``."""

_SUBJECTS = {
    Kind.SIGNUP: "Confirm your email address",
    Kind.INVITE: "You have been invited",
    Kind.MAGICLINK: "Your sign-in link",
    Kind.RECOVERY: "Reset your password",
    Kind.EMAIL_CHANGE: "Confirm your new email address",
    Kind.REAUTHENTICATION: "Confirm that it is you",
}
_LINK_BODY = """<h2>{subject}</h2>
<p><a href="{{{{ .ConfirmationURL }}}}">Follow this link</a>
or enter the code <strong>{{{{ .Token }}}}</strong>.</p>
"""
_CODE_BODY = """<h2>{subject}</h2>
<p>Enter the code <strong>{{{{ .Token }}}}</strong>.</p>
"""


@dataclass(frozen=True)
class Mail:
    """A one-time token on its way to an address."""

    kind: Kind
    to: str
    code: Code
    redirect_to: str

    def url(self, server: Server) -> str:
        """The link: it opens ``/verify``, which leads on to ``redirect_to``."""
        query = urlencode({"token": self.code.hash, "type": self.kind.value})
        redirect = quoted(self.redirect_to)
        return f"{server.external_url}/verify?{query}&redirect_to={redirect}"


async def send(server: Server, conn: Connection, user: User, mail: Mail) -> None:
    """Put a mail into the box; it is there when the transaction commits."""
    link = "" if mail.kind is Kind.REAUTHENTICATION else mail.url(server)
    values = {
        "SiteURL": server.settings.site_url,
        "ConfirmationURL": link,
        "Email": user.email,
        "NewEmail": user.email_change,
        "Token": mail.code.digits,
        "TokenHash": mail.code.hash,
        "RedirectTo": mail.redirect_to,
        "SendingTo": mail.to,
        "Data": user.user_metadata,
    }
    subject, body = _template(server, mail.kind)
    await conn.execute(
        _INSERT,
        (
            *(mail.kind.value, mail.to, _filled(subject, values, escape=str)),
            *(_filled(body, values, escape=html.escape), mail.code.digits, mail.code.hash),
            *(link, mail.redirect_to),
        ),
    )
    await conn.execute(_TRIM, (KEPT,))


def _template(server: Server, kind: Kind) -> tuple[str, str]:
    """Subject and body: the project's where it has them."""
    subject = _SUBJECTS[kind]
    body = _CODE_BODY if kind is Kind.REAUTHENTICATION else _LINK_BODY
    own = server.settings.email.template.get(TEMPLATES[kind])
    if own is None:
        return subject, body.format(subject=subject)
    subject = own.subject or subject
    if own.content:
        return subject, own.content
    if own.content_path:
        path = Path(server.workdir, own.content_path)
        try:
            return subject, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("auth.email.template.%s: cannot read %s: %s", TEMPLATES[kind], path, error)
    return subject, body.format(subject=subject)


def _filled(template: str, values: Mapping[str, object], *, escape: Callable[[str], str]) -> str:
    def value(match: re.Match[str]) -> str:
        found: object = values.get(match[1], "")
        for name in match[2].split(".")[1:]:
            found = found.get(name, "") if isinstance(found, Mapping) else ""
        return escape(str(found))

    filled = _VARIABLE.sub(value, template)
    if "{{" in _VARIABLE.sub("", template):
        log.warning("a mail template has actions other than {{ .Name }}; they stay as they are")
    return filled
