"""What was asked for on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# What cannot be as the source has it, and what can be done: the first word of each is explained in
# docs/how-to/import.md. Of what has no choice, the plan says what will happen.
CHOICES: dict[str, dict[str, str]] = {
    "missing_user": {
        "ghost": "a profile of their own, which nobody can sign in to",
        "skip": "leaves out what they wrote",
    },
    "too_long": {
        "split": "parts of 10000 characters, in a row",
        "skip": "leaves it out",
    },
    "empty": {"keep": "a message of kind custom that says nothing", "skip": "leaves it out"},
    "bad_type": {"keep": "a text, with its type in metadata", "skip": "leaves it out"},
    "bad_time": {"previous": "the time of the message before it", "skip": "leaves it out"},
    "metadata": {"drop": "the message without its metadata", "skip": "leaves it out"},
    "existing": {
        "append": "goes on in the conversation that is there",
        "skip": "leaves the conversation out",
    },
    "expired": {"accept": "imports them all the same; nobody can read them"},
    "files": {"upload": "to the bucket", "link": "keeps their addresses in metadata.files"},
    "vanished": {"delete": "what the old application deletes meanwhile is deleted here"},
    "bad_file": {"link": "keeps its address in metadata.files"},
}
AUTOMATIC: dict[str, str] = {
    "orphan": "left out: what it belongs to is not in the source",
    "duplicate": "the first of the same is taken",
    "clash": "different rows of one id: all are taken",
    "reply": "kept, without the reference",
    "not_a_pair": "a direct conversation of more or fewer than two becomes a group",
    "same_tenant": "a tenant of this slug is here: it is taken for the same",
    "merged": "one direct conversation a pair, one conversation an object",
}


@dataclass(frozen=True)
class Options:
    """Choices of an import; all are part of the plan that is approved."""

    source: str
    label: str
    tenant: str = "default"
    schema: str = "public"
    timezone: str = "UTC"
    file: Path | None = None
    is_live: bool = False
    choices: dict[str, str] = field(default_factory=dict)
