"""Find what can be run but is surely not meant: what never happens, happens twice, or is used by nobody. Pure.

Only what can be proven from the configuration alone; nothing here keeps it from being used. Looked for once it has
no mistakes, so that one mistyped name is not also told as a template without a rule.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from bridge.config_check import Entry, Parts
from bridge.contracts import Source
from bridge.errors import Problem
from bridge.expressions import Condition
from bridge.rules import Rule
from bridge.usage import Argument, Usage, UsageError, UsageMismatch

_EQUALS = re.compile(r"""\s*([A-Za-z_][\w.]*)\s*==\s*('[^'\\]*'|"[^"\\]*"|[0-9]+)\s*""", re.ASCII)


def warnings(parts: Parts) -> tuple[Problem, ...]:
    """Return what is surely not meant, sorted by place."""
    found: list[Problem] = []
    _unused(parts, found)
    for entry in parts.rules:
        _unreachable(entry, _kind(parts, entry), found)
    _twice(parts, found)
    return tuple(sorted(found))


def _unused(parts: Parts, found: list[Problem]) -> None:
    rules: list[Rule] = [entry.value for entry in parts.rules]
    kinds: tuple[tuple[Mapping[str, Entry], set[str], str], ...] = (
        (parts.sources, {rule.source for rule in rules}, "no rule takes its events"),
        (parts.engines, {entry.value.engine for entry in parts.templates.values()}, "no template runs on it"),
        (parts.templates, {rule.template for rule in rules}, "no rule starts it"),
        (parts.notifiers, {name for rule in rules for name in rule.notify}, "no rule tells it"),
    )
    for entries, used, message in kinds:
        for name, entry in entries.items():
            if name not in used:
                entry.report.into(found).add(entry.mark, message)


def _kind(parts: Parts, rule: Entry) -> type[Source]:
    kind = parts.sources[rule.value.source].kind
    return kind if kind is not None and issubclass(kind, Source) else Source


def _unreachable(entry: Entry, kind: type[Source], found: list[Problem]) -> None:
    rule, doubted = entry.value, entry.into(found)
    for event in rule.events:
        message = kind.doubt(event)
        wider = event.partition(".")[0] if kind.actions else event
        if message is not None:
            doubted.item_problem("event", event, message)
        elif rule.events.count(event) > 1:
            doubted.item_problem("event", event, f"{event!r} is named twice")
        elif wider != event and wider in rule.events:
            doubted.item_problem("event", event, f"{wider!r} takes {event!r} already")
    for condition, message in _never_true(rule, kind):
        doubted.item_problem("when", condition.source, f"this rule never runs: {message}")
    if rule.usage is not None and [word.casefold() for word in rule.usage.words] == ["help"]:
        doubted.problem(("usage",), "`help` lists the usage lines of the command, and so does not come to this rule")


def _never_true(rule: Rule, kind: type[Source]) -> Iterator[tuple[Condition, str]]:
    """Yield the conditions no event that comes to the rule can fulfil, and why."""
    equal: dict[str, str] = {}
    for condition in rule.when:
        known = [_names(rule, kind, event) for event in rule.events or (None,)]
        if all(path[0] in names for names in known for path in condition.paths):
            results = [condition.evaluate(names) for names in known]
            if all(result.verdict != "true" for result in results):
                reason = f" ({results[0].reason})" if results[0].reason else ""
                yield condition, f"{condition.source} is never true{reason}"
        elif match := _EQUALS.fullmatch(condition.source):
            name, value = match[1], match[2]
            first = equal.setdefault(name, value)
            if first.strip("'\"") != value.strip("'\""):
                either = f"if either will do, write {name} in [{first}, {value}]"
                yield condition, f"{name} == {first} must hold as well; {either}"


def _names(rule: Rule, kind: type[Source], event: str | None) -> dict[str, str]:
    """Return the names whose values are known before an event comes."""
    if event is None:
        return {"source": rule.source}
    name, _, action = event.partition(".") if kind.actions else (event, "", "")
    return {"source": rule.source, "event": name} | ({"action": action} if action else {})


def _twice(parts: Parts, found: list[Problem]) -> None:
    """Find pairs of rules that run for the same event though one would do."""
    seen: dict[tuple[object, ...], _Seen] = {}
    twins = set()
    for entry in parts.rules:
        alike = seen.setdefault(_what_it_starts(entry.value), _Seen(actions=_kind(parts, entry).actions))
        first = alike.meets(entry.value)
        if first is None:
            alike.add(entry)
        else:
            twins.add(entry.name)
            message = f"rule {first.name!r} ({_place(first)}) starts the same for the same events: it would run twice"
            entry.report.into(found).add(entry.mark, message)
    for first, second, text in _shadows(parts):
        if second.name not in twins:
            message = f"rule {first.name!r} ({_place(first)}) takes {text!r} as well: both would run"
            second.into(found).problem(("usage",), message)


class _Seen:
    """Rules by the events they take."""

    def __init__(self, *, actions: bool) -> None:
        self._actions = actions
        self._exactly: dict[str | None, Entry] = {}
        self._within: dict[str | None, Entry] = {}

    def add(self, entry: Entry) -> None:
        for event in entry.value.events or (None,):
            self._exactly.setdefault(event, entry)
            self._within.setdefault(self._wide(event), entry)
        self._within.setdefault(None, entry)

    def meets(self, rule: Rule) -> Entry | None:
        """Return a rule that takes an event which this one takes, too."""
        for event in rule.events or (None,):
            wide = self._wide(event)
            found = self._exactly.get(event) or self._exactly.get(wide) or self._exactly.get(None)
            if found is None and event == wide:
                found = self._within.get(event)
            if found is not None:
                return found
        return None

    def _wide(self, event: str | None) -> str | None:
        return event.partition(".")[0] if event and self._actions else event


def _what_it_starts(rule: Rule) -> tuple[object, ...]:
    return (
        rule.source,
        rule.template,
        None if rule.usage is None else rule.usage.source,
        _conditions(rule),
        frozenset((name, text.source) for name, text in rule.variables.items()),
    )


def _conditions(rule: Rule) -> frozenset[str]:
    return frozenset(condition.source for condition in rule.when)


def _place(entry: Entry) -> str:
    return f"{entry.report.file}:{entry.mark.line}"


class _Line(NamedTuple):
    """A rule with a usage line."""

    entry: Entry
    conditions: frozenset[str]
    seen: _Seen

    def met_by(self, other: "_Line") -> str | None:
        """Return a text for which both rules run; None where none is found or conditions may keep the two apart."""
        alike = self.conditions <= other.conditions or other.conditions <= self.conditions
        if not alike or self.seen.meets(other.entry.value) is None:
            return None
        return _common_text(self.entry.value.usage, other.entry.value.usage)


def _shadows(parts: Parts) -> Iterator[tuple[Entry, Entry, str]]:
    """Yield rules of one command that both take some text, whatever else the event holds; each once, with the text."""
    exactly: dict[tuple[str, ...], list[_Line]] = {}
    beginning: dict[tuple[str, ...], list[_Line]] = {}
    for entry in parts.rules:
        rule: Rule = entry.value
        if rule.usage is None:
            continue
        line = _Line(entry, _conditions(rule), _Seen(actions=_kind(parts, entry).actions))
        line.seen.add(entry)
        words = (rule.source, *(word.casefold() for word in rule.usage.words))
        # Only lines of which one begins with all the words of the other can meet.
        shorter = (other for end in range(1, len(words)) for other in exactly.get(words[:end], []))
        for other in chain(shorter, beginning.get(words, [])):
            text = other.met_by(line)
            if text is not None:
                yield other.entry, entry, text
                break
        exactly.setdefault(words, []).append(line)
        for end in range(1, len(words) + 1):
            beginning.setdefault(words[:end], []).append(line)


def _common_text(one: Usage, other: Usage) -> str | None:
    """Return a text that both lines take, if one is found: the words of both, then as many values as either takes."""
    short, long = sorted((one, other), key=lambda usage: len(usage.words))
    words = list(long.words)
    beyond, values = _places(short)[len(long.words) - len(short.words) :], _places(long)
    for place in range(max(len(beyond), len(values)) + 1):
        text = " ".join(words)
        if _takes(short, text) and _takes(long, text):
            return text
        words.append(_value([places[place] for places in (values, beyond) if place < len(places)]))
    return None


def _places(usage: Usage) -> list[Argument]:
    """Return the arguments that are given by their place."""
    rest = any(argument.kind == "rest" for argument in usage.arguments)
    kinds = ("required", "rest") if rest else ("required", "optional")
    return [argument for argument in usage.arguments if argument.kind in kinds]


def _value(arguments: list[Argument]) -> str:
    """Return a value that all of these take, if there is one."""
    choices = [set(argument.choices) for argument in arguments if argument.choices]
    return min(set.intersection(*choices), default="x") if choices else "x"


def _takes(usage: Usage, text: str) -> bool:
    try:
        usage.parse(text)
    except (UsageMismatch, UsageError):
        return False
    return True
