"""Weakened definitions of functions and views: one guard or one condition less."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .conditions import squeezed, terms

_REFUSAL = re.compile(r"perform\s+chat_private\.raise_error\(.*?\);", re.DOTALL)
_CHECK = re.compile(r"perform\s+chat_private\.(?:require|check)_\w+\(")
_REQUIRED = re.compile(r"(?<!perform )\bchat_private\.require_(?=\w+\()")
_REFUSED_IF = re.compile(
    r"\b(?:if|elsif)\s+(?P<condition>(?:(?!\bthen\b).)*?)\s+then\s+perform\s+chat_private\.raise_error",
    re.DOTALL,
)

_LOCK = re.compile(
    r"perform\s+from\b[^;]*\bfor\s+(?:no\s+key\s+update|update|share)[^;]*;"
    r"(?!\s*if\s+(?:not\s+)?found)",
    re.IGNORECASE,
)
"""Only makes others wait: locks are not mutated."""

_GUARD = re.compile(
    r"auth\.uid|\w_(?:at|until)\b|visible_from|tenant_id|block|\brole\b|hidden|\bstate\b|\bstatus\b"
    r"|is_open|_ids_for_|user_ids|who_may|v_user_id|v_participant\.user_id|v_caller|\bkind\b|party",
    re.IGNORECASE,
)
"""In functions and views, conditions on who, whose, when and what state: not mere look-ups."""


@dataclass(frozen=True)
class Function:
    """A function of ours; ``source`` is what ``create or replace`` needs."""

    name: str
    signature: str
    language: str
    source: str

    @property
    def body_start(self) -> int:
        """Where the declarations end."""
        mark = "$function$" if self.language == "plpgsql" else "\nBEGIN ATOMIC"
        return self.source.find(mark) + len(mark)


@dataclass(frozen=True)
class Weaker:
    """A definition with one thing less: ``what``. ``code``: the error it cannot raise any more."""

    what: str
    source: str
    code: str = ""


def _numbered(found: Iterator[Weaker]) -> Iterator[Weaker]:
    seen: Counter[str] = Counter()
    for weaker in found:
        seen[weaker.what] += 1
        number = seen[weaker.what]
        yield weaker if number == 1 else replace(weaker, what=f"{weaker.what} #{number}")


def without_conditions(
    source: str, start: int = 0, *, is_condition: bool = False
) -> Iterator[Weaker]:
    """Each term of each where, on and having: `true` instead."""

    def found() -> Iterator[Weaker]:
        locks = [match.span() for match in _LOCK.finditer(source, start)]
        for term in sorted(
            terms(source[start:], is_condition=is_condition), key=lambda span: span.start
        ):
            if any(begins <= start + term.start < ends for begins, ends in locks):
                continue
            text = squeezed(source[start:][term.start : term.end])
            if text.lower() != "true" and (is_condition or _GUARD.search(text)):
                yield Weaker(
                    f"without `{text}`", source[:start] + term.replaced(source[start:], "true")
                )

    return _numbered(found())


def weakened(function: Function) -> Iterator[Weaker]:
    """Every guard and every condition on who, whose, when and what state."""
    yield from without_conditions(function.source, function.body_start)
    yield from without_guards(function)


def _end_of_call(source: str, opened: int) -> int:
    """After the statement whose parenthesis opens just before ``opened``."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(source[opened], 0)
        opened += 1
    return source.index(";", opened) + 1


def without_guards(function: Function) -> Iterator[Weaker]:
    """Each statement that may refuse the call: left out; each `or` of its condition too."""

    def found() -> Iterator[Weaker]:
        source = function.source
        for match in _REFUSAL.finditer(source):
            code = _code(match.group())
            refusal = code or squeezed(match.group())
            weaker = _without(source, match.start(), match.end())
            yield Weaker(f"does not refuse {refusal}", weaker, code)
        for match in _CHECK.finditer(source):
            end = _end_of_call(source, match.end())
            call = squeezed(source[match.start() : end])
            yield Weaker(f"without `{call}`", _without(source, match.start(), end))
        for match in _REQUIRED.finditer(source, function.body_start):
            end = source.index("(", match.end())
            called = source[match.start() : end]
            yield Weaker(
                f"does not insist on {called}",
                source[: match.start()]
                + called.replace("require_", "unchecked_", 1)
                + source[end:],
            )
        for match in _REFUSED_IF.finditer(source, function.body_start):
            condition, at = match.group("condition"), match.start("condition")
            for start, end in _alternatives(condition):
                text = squeezed(condition[start:end])
                yield Weaker(
                    f"does not refuse if `{text}`",
                    source[: at + start] + "false" + source[at + end :],
                    _code(source[match.end() :]),
                )

    return _numbered(found())


def _code(refusal: str) -> str:
    """What ``raise_error`` is given, unless it is computed."""
    match = re.match(r"(?:perform\s+chat_private\.raise_error)?\(\s*'(\w+)'\s*\);", refusal)
    return match.group(1) if match else ""


def _without(source: str, start: int, end: int) -> str:
    return source[:start] + "null;" + source[end:]


def _alternatives(condition: str) -> list[tuple[int, int]]:
    """The parts between `or` outside parentheses; none when there is only one."""
    depth, start, parts = 0, 0, []
    for match in re.finditer(r"'(?:[^']|'')*'|\(|\)|\bor\b", condition):
        token = match.group()
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "or" and depth == 0:
            parts.append((start, match.start()))
            start = match.end()
    return [_stripped(condition, *part) for part in [*parts, (start, len(condition))] if parts]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def unchecked(function: Function, arguments: int) -> str:
    """``unchecked_...``: as ``require_...``, and whoever it refuses is let through all the same,
    with the first row that has the conversation, the seq or whatever else was asked for.
    """
    source, start = function.source, function.body_start
    asked_for = re.compile(rf"= (?:{function.name}|participant)\.")
    for term in sorted(terms(source[start:]), key=lambda span: -span.start):
        text = source[start:][term.start : term.end]
        if not asked_for.search(text) and "\n" not in text:
            source = source[:start] + term.replaced(source[start:], "true")
    twin = _REFUSAL.sub("null;", source)
    twin = re.sub(r"\brequire_", "twin_of_", twin)
    head = re.sub(r"\brequire_", "unchecked_", source[: start - len("$function$")])
    name = function.name.replace("require_", "", 1)
    given = ", ".join(f"${number}" for number in range(1, arguments + 1))
    return f"""{twin};
{head}$function$
begin
    return chat_private.require_{name}({given});
exception
    when others then
        return chat_private.twin_of_{name}({given});
end;
$function$;
revoke execute on function chat_private.twin_of_{name}, chat_private.unchecked_{name} from public"""
