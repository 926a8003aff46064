"""What a person sees of an explanation: each rule, each condition, and below a condition what its names were."""

from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bridge.decision import Decision
from bridge.explanation import Explanation
from bridge.expressions import MISSING, Condition, ConditionResult, dotted, look_up, shortened, shown
from bridge.functions import to_json
from bridge.records import Record
from bridge.rules import OTHER_EVENT, RuleResult
from bridge.spans import Span, labelled, spans
from bridge.suggest import nearest

_MARKS = {"match": ("✓", "green"), "no_match": ("✗", "red"), "error": ("!", "red")}
_SAYS = {"match": "runs", "no_match": "does not run", "error": "cannot run"}
_CONDITION_MARKS = {
    "true": ("✓", "green"),
    "false": ("✗", "red"),
    "missing": ("?", "yellow"),
    "error": ("!", "red"),
}
_MOST_OTHERS = 8
_LONGEST_FACT = 70


class View:
    """Prints an explanation; colours only where the console is a terminal."""

    def __init__(
        self,
        console: Console,
        explanation: Explanation,
        *,
        names: Mapping[str, Any] | None = None,
        decision: Decision | None = None,
        places: Mapping[str, str] | None = None,
    ) -> None:
        """Show `explanation`; the rest is known only where the configuration is at hand."""
        self._console = console
        self._told = explanation
        self._names = explanation.facts if names is None else names
        self._records = {} if decision is None else {record.rule: record for record in decision.executions.values()}
        self._ignored = None if decision is None or decision.results else decision.reason
        self._places = places or {}
        self._whole = names is not None

    def show(self) -> None:
        """Print everything."""
        asked = [result for result in self._told.rules if _is_asked(result)]
        self._facts()
        if self._ignored is not None:
            self._line()
            for line in f"It starts nothing: {self._ignored}".split("\n"):
                self._line((line, "yellow"))
            return
        for result in asked:
            self._line()
            self._rule(result)
        self._others([result for result in self._told.rules if not _is_asked(result)], any_asked=bool(asked))

    def _facts(self) -> None:
        running = sum(result.verdict == "match" for result in self._told.rules)
        self._line(
            (self._told.event, "bold"),
            (f" from {self._told.source}: ", ""),
            (f"{running} of {_counted(len(self._told.rules), 'rule')} would run", "green" if running else "red"),
        )
        facts = _flat(self._told.facts)
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            self._line((f"  {name:<{width}}  {_short(value)}", "dim"))

    def _rule(self, result: RuleResult) -> None:
        mark, colour = _MARKS[result.verdict]
        place = self._places.get(result.rule)
        self._line(
            (f"{mark} ", colour),
            (result.rule, "bold"),
            (f" {_SAYS[result.verdict]}", colour),
            (f"  {place}" if place else "", "dim"),
        )
        for condition in result.conditions:
            self._condition(condition)
        hold = all(condition.verdict == "true" for condition in result.conditions)
        if result.reason is not None and hold:
            # Something else keeps it from running.
            for line in result.reason.replace("; variable ", "\nvariable ").split("\n"):
                self._line((f"  {line}", colour))
        if result.verdict == "match":
            self._sent(result)

    def _condition(self, condition: ConditionResult) -> None:
        mark, colour = _CONDITION_MARKS[condition.verdict]
        text = condition.text.replace("\n", " ")
        if condition.verdict == "true":
            seen = ", ".join(f"{name} is {shown(value)}" for name, value in condition.values.items())
            self._line((f"  {mark} ", colour), (text, ""), (f"  {seen}" if seen else "", "dim"))
            return
        paths = {dotted(path): path for path in Condition(condition.text).paths}
        labels = {
            name: shown(condition.values[name]) if name in condition.values else self._absent(path)
            for name, path in paths.items()
        }
        self._line((f"  {mark} ", colour), (text, colour))
        for line in labelled(_cells(text, spans(text, paths)), labels):
            styled = [
                (piece, "" if name is None else "yellow" if name not in condition.values else colour)
                for piece, name in line
            ]
            self._line(("    ", ""), *styled)
        if condition.verdict == "error":
            self._line((f"    {condition.reason}", colour))

    def _absent(self, path: tuple[str | int, ...]) -> str:
        """Say that a name is missing, and what may have been meant."""
        for end in range(1, len(path)):
            above = look_up(path[:end], self._names)
            if not isinstance(above, Mapping):
                return "missing" if above is MISSING else f"missing: {dotted(path[:end])} is {shown(above)}"
            if path[end] not in above and self._whole:
                near = nearest(str(path[end]), map(str, above))
                meant = f"did you mean {near}?" if near else f"there is {_listed(above)}"
                return f"missing: no {path[end]} in {dotted(path[:end])}, {meant}"
        return "missing: this event does not carry it"

    def _sent(self, result: RuleResult) -> None:
        record: Record | None = self._records.get(result.rule)
        if record is not None:
            starts = f"{record.template} on {record.engine}, {record.template_id}"
            self._line(("  starts ", "dim"), (starts, ""), (_own(record.options), "dim"))
        width = max(map(len, result.variables), default=0)
        for name, value in result.variables.items():
            own = {} if record is None else record.variable_options.get(name, {})
            self._line((f"    {name:<{width}}  ", "dim"), (_short(value), "cyan"), (_own(own), "dim"))
        if record is not None and record.notify:
            self._line(("  tells ", "dim"), (", ".join(recipient.notifier for recipient in record.notify), ""))

    def _others(self, others: list[RuleResult], *, any_asked: bool) -> None:
        if not others:
            return
        self._line()
        if any_asked:
            self._line(("Not asked, for they take other events:", "dim"))
        else:
            self._line(("No rule of this source takes this event:", "yellow"))
        width = max(len(result.rule) for result in others[:_MOST_OTHERS])
        for result in others[:_MOST_OTHERS]:
            _, _, wanted = str(result.reason).partition(", the rule wants ")
            self._line((f"- {result.rule:<{width}}  takes {wanted}", "dim"))
        if len(others) > _MOST_OTHERS:
            self._line((f"- and {len(others) - _MOST_OTHERS} more (--json has all)", "dim"))

    def _line(self, *pieces: tuple[str, str]) -> None:
        self._console.print(Text.assemble(*((harmless(text), style) for text, style in pieces)), soft_wrap=True)


def harmless(text: str) -> str:
    """Return text that may hold an event's own without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _cells(text: str, places: list[Span]) -> list[Span]:
    """Return the places as a terminal counts: a Japanese character is two wide."""
    return [Span(cell_len(text[: one.start]), cell_len(text[: one.end]), one.name) for one in places]


def _is_asked(result: RuleResult) -> bool:
    return not str(result.reason).startswith(OTHER_EVENT)


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


def _short(value: Any) -> str:
    text = shortened(value, _LONGEST_FACT)
    if not isinstance(text, str):
        return to_json(text)
    return text if text.isprintable() and text else repr(text)


def _own(keys: Mapping[str, Any]) -> str:
    """Say what a template or a variable has beyond the keys that every engine's have."""
    said = ", ".join(f"{key}: {_short(value)}" for key, value in keys.items())
    return f"  ({said})" if said else ""


def _listed(names: Mapping[str, Any]) -> str:
    there = list(names)
    more = f" and {len(there) - 6} more" if len(there) > 6 else ""  # noqa: PLR2004 - fits into a line
    return (", ".join(there[:6]) or "nothing") + more


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
