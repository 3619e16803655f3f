"""``parley``: talk, look, and take along, from a terminal."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from parley import AsyncParley, ParleyError, __version__

from .chat import chat
from .export import export, export_personal
from .inbox import inbox

EMAIL_VARIABLE = "PARLEY_EMAIL"
PASSWORD_VARIABLE = "PARLEY_PASSWORD"  # noqa: S105 - the name of a variable


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    # It logs each lost connection as an error, which is made good, and would be in the way.
    logging.getLogger("realtime").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_run(options))
    except ParleyError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley",
        description="Messages in a terminal, as one user of a Parley project.",
        epilog="The project is that of SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY, also from .env; "
        f"the password that of {PASSWORD_VARIABLE}, or asked for.",
    )
    parser.add_argument("--version", action="version", version=f"parley {__version__}")
    parser.add_argument("--url", help="the project's address")
    parser.add_argument("--key", help="its publishable key")
    parser.add_argument("--email", help=f"who you are; default: {EMAIL_VARIABLE}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    talk = commands.add_parser("chat", help="talk with somebody, live")
    talk.add_argument("with_", metavar="WITH", help="a username, or the id of a conversation")
    talk.add_argument("--last", type=int, default=20, metavar="N", help="messages to begin with")

    look = commands.add_parser("inbox", help="list conversations with what is unread")
    look.add_argument("-n", dest="limit", type=int, default=30, metavar="N", help="how many")
    look.add_argument("--unread", action="store_true", help="only those with something unread")
    look.add_argument("--json", action="store_true", help="one JSON object a line")

    take = commands.add_parser("export", help="write conversations to files")
    take.add_argument("conversation", nargs="*", metavar="ID", help="which; default: all")
    take.add_argument("--to", type=Path, default=Path("export"), help="a folder; default: export")
    take.add_argument("--files", action="store_true", help="attachments too")
    take.add_argument(
        "--personal",
        action="store_true",
        help="instead, all that is yours: what you wrote and did, settings, files",
    )
    return parser


async def _run(options: argparse.Namespace) -> int:
    async with AsyncParley(options.url, options.key) as parley:
        await _sign_in(parley, options.email or os.environ.get(EMAIL_VARIABLE))
        if options.command == "chat":
            await chat(parley, options.with_, last=options.last)
        elif options.command == "inbox":
            await inbox(parley, limit=options.limit, unread=options.unread, as_json=options.json)
        elif options.personal:
            await export_personal(parley, options.to)
        else:
            await export(parley, options.conversation, options.to, with_files=options.files)
    return 0


async def _sign_in(parley: AsyncParley, email: str | None) -> None:
    if not email:
        raise ParleyError("Who are you?", hint=f"Give --email, or set {EMAIL_VARIABLE}.")
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        password = await asyncio.to_thread(getpass.getpass, f"Password of {email}: ")
    await parley.auth.sign_in_with_password(email, password)


if __name__ == "__main__":
    sys.exit(main())
