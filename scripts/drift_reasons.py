"""What each kind of drift means to whoever runs the database."""

from __future__ import annotations

_RULE = "Rows that break this rule can be written, and perhaps were."
_SLOW = "What it served is read from the whole table."
_OWN = (
    "It is not Parley's. If your project added it, keep it elsewhere: migrations may need its name."
)

_REASONS = {
    ("table", "missing"): "What uses it fails. Made anew it is empty: rows come from a backup.",
    ("table", "extra"): f"{_OWN} Its rows would go with it.",
    ("column", "missing"): "What uses it fails. Made anew it has its default in every row.",
    (
        "column",
        "changed",
    ): "Functions and clients rely on its type, its default and on null or not.",
    ("column", "extra"): f"{_OWN} Its values would go with it.",
    ("foreign key", "missing"): "Rows may name what is not there, also across tenants.",
    ("primary key", "missing"): "Rows can be there twice.",
    ("unique constraint", "missing"): "Rows can be there twice: retries make duplicates.",
    ("check", "missing"): _RULE,
    ("exclusion", "missing"): _RULE,
    ("index", "missing"): _SLOW,
    ("index", "changed"): _SLOW,
    ("index", "extra"): "It slows writes down and is no rule. If you made it for a query, keep it.",
    ("policy", "missing"): "Whom it admits sees and writes nothing.",
    ("policy", "changed"): "It admits others than it should.",
    ("policy", "extra"): "Policies add up: whom it admits gets in beside Parley's own rules.",
    ("trigger", "missing"): "What it does no longer happens: numbers, counters, events or checks.",
    ("trigger", "changed"): "What it does happens at other times, or not at all.",
    ("trigger", "extra"): "It runs inside every write, and can change or stop it.",
    ("rule", "extra"): "It rewrites statements before any policy or trigger sees them.",
    ("function", "missing"): "What calls it fails.",
    ("function", "changed"): "It does something else than it was tested to do.",
    ("function", "extra"): f"{_OWN} In schema chat it is part of the API.",
    ("type", "extra"): _OWN,
    ("grant", "missing"): "What this role may do otherwise is refused.",
    ("grant", "changed"): "This role may do something else than it should.",
    ("grant", "extra"): "This role may do what nobody meant it to.",
    ("owner", "extra"): "Its owner may do anything with it, past row level security.",
    ("publication", "missing"): "Subscribers of postgres_changes hear nothing of this table.",
    ("publication", "changed"): "Subscribers hear of other rows or columns than they should.",
    ("publication", "extra"): "Every change of this table is sent out of the database.",
    ("role", "changed"): "Row level security does not stop this role.",
    ("error", "missing"): "Refusals with this code fail in another way: clients cannot tell why.",
    ("error", "changed"): "Clients rely on the code and its SQLSTATE; users read the rest.",
    ("error", "extra"): "No function of this version raises it.",
    ("bucket", "missing"): "Files can be neither sent nor read.",
    (
        "bucket",
        "changed",
    ): "Storage takes other files than messages may have, or shows them to all.",
    ("job", "missing"): "Nobody runs what this job does: scheduled messages wait.",
    ("job", "changed"): "It runs at other times, does something else, or does not run.",
    ("job", "extra"): "No migration made it.",
    ("migration", "changed"): (
        "The file was edited after it ran here. What that changed is in the other differences; the"
        " mend records the file as it is now."
    ),
    (
        "migration",
        "extra",
    ): "A migration ran here that this checkout has not: is it an older version?",
    ("migrations", "missing"): "`supabase db push` would run everything again, and fail.",
}


def reason(kind: str, state: str, expected: str, found: str) -> str:
    """Why a difference matters."""
    if kind == "table" and state == "changed":
        if "row level security on" in expected and "row level security off" in found:
            return "Whoever has a grant on this table reads and writes all of it."
        if expected.startswith("view"):
            return "It shows other rows than it should, or to others."
        return "Its storage or its row level security is not as designed."
    if kind == "migration" and state == "missing":
        return {
            "not run": "It has not run here. `supabase db push` runs it too.",
            "run, not recorded": "`supabase db push` would run it again, and fail.",
        }.get(
            found,
            "Nothing tells whether it has run. If not: `supabase db push`; if so: `supabase"
            " migration repair --status applied`.",
        )
    default = {
        "missing": "What relies on it fails.",
        "changed": "What relies on it gets something else.",
        "extra": "It is not Parley's, and can stop what Parley does.",
    }
    return _REASONS.get((kind, state), default[state])
