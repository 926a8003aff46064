"""Settings of Jenkins' Generic Webhook Trigger into rules. Pure.

https://plugins.jenkins.io/generic-webhook-trigger/, written as YAML or JSON, alone or within a job's other settings.
"""

import re
from collections.abc import Iterator

from bridge.errors import ExpressionError
from bridge.functions import compile_pattern
from bridge.importers.cel_tokens import Untranslatable
from bridge.importers.draft import NEVER, Draft, Rule
from bridge.importers.jsonpath import path
from bridge.importers.reading import documents, items, line, text
from bridge.importers.writing import credential, literal, name
from bridge.yaml_text import ListNode, MapNode, Node

_OURS = {
    "genericVariables",
    "genericRequestVariables",
    "genericHeaderVariables",
    "regexpFilterText",
    "regexpFilterExpression",
    "token",
    "tokenCredentialId",
}
_NAMES = {"name", "job", "$class", "class"}
_WHY = {
    "causeString": "a run has no cause to word; a notifier tells what started it",
    "printContributedVariables": "the API shows every execution's variables",
    "printPostContent": "every delivery is kept with its body for 7 days",
    "silentResponse": "the answer never holds the job's output",
    "shouldNotFlatten": "a variable is one text, never several",
    "overrideQuietPeriod": "`at_a_time: {debounce: ...}` does what a quiet period does",
    "allowSeveralTriggersPerBuild": "every delivery has an execution of its own",
}
_NOT_JAVA = re.compile(r"&&|\[\[:|\\Z|\\h|\\R|\\G")
"""What RE2 reads, but as something else than Java does, or what only Java reads."""
_USE = re.compile(r"\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)")


def convert(data: bytes, file: str) -> Draft:
    """Convert a file of triggers; ConfigError when it cannot be read."""
    draft = Draft(file)
    for document in documents(data, file):
        triggers = list(_triggers(document, ""))
        for place, (label, trigger) in enumerate(triggers, 1):
            _convert(draft, trigger, label or (f"trigger-{place}" if len(triggers) > 1 else "trigger"))
        if not triggers:
            draft.note(line(document), f"there is no trigger here: one has some of {', '.join(sorted(_OURS))}")
    return draft


def _triggers(node: Node, label: str) -> Iterator[tuple[str, MapNode]]:
    """Find every mapping that is a trigger, however deep in a job's other settings."""
    if isinstance(node, ListNode):
        for item in node.items:
            yield from _triggers(item, label)
    elif isinstance(node, MapNode):
        own = text(node, "name") or text(node, "job") or label
        if node.entries.keys() & _OURS:
            yield own, node
            return
        for key, (_, value) in node.entries.items():
            plain = key.lower() in ("triggers", "properties", "jobs", "generic", "generictrigger", "pipeline")
            yield from _triggers(value, own if plain else own or key)


def _convert(draft: Draft, trigger: MapNode, label: str) -> None:
    for key, (mark, _) in trigger.entries.items():
        if key not in _OURS | _NAMES:
            draft.note(mark.line, f"{label}: `{key}` is left out: {_WHY.get(key, 'it is not known here')}")
    secret = draft.secret(f"{label} token")
    draft.note(
        trigger.entries["token"][0].line if "token" in trigger.entries else line(trigger),
        f"{label}: its sender has to show the token in the environment variable {secret} as `Authorization: "
        "Bearer ...`; in the URL, as Jenkins takes it, it would stand in every log. GitHub and others that sign need "
        "none (docs/rules.md, Sources)",
    )
    source = draft.source(label, secret, "type: bearer")
    rule = Rule(name=label, source=source.name)
    names = dict(_variables(draft, trigger, label))
    rule.variables = {key: f"${{{{ {expression} }}}}" for key, expression in names.items()}
    try:
        rule.when = list(_filter(trigger, names))
    except Untranslatable as error:
        where = trigger.entries.get("regexpFilterExpression", (trigger.mark,))[0].line
        draft.note(where, f"{label}: the filter: {error}; until it is put in place of `false` the rule never runs")
        rule.when = [NEVER]
    draft.add(rule, line(trigger))


def _variables(draft: Draft, trigger: MapNode, label: str) -> Iterator[tuple[str, str]]:
    """Yield each variable with the expression that is its value; the missing are empty, as there."""
    for kind in ("genericVariables", "genericRequestVariables", "genericHeaderVariables"):
        for one in items(trigger, kind):
            key = text(one, "key")
            try:
                yield (key.lower().replace("-", "_") if kind == "genericHeaderVariables" else key), _value(kind, one)
            except Untranslatable as error:
                draft.note(line(one), f"{label}: the variable {key!r} is left out: {error}")


def _value(kind: str, one: Node) -> str:
    key = text(one, "key")
    if not key:
        raise Untranslatable("it has no `key`")
    if text(one, "regexpFilter"):
        raise Untranslatable("its `regexpFilter` cuts out of the value, which no filter here does")
    otherwise = literal(text(one, "defaultValue"))
    if kind != "genericVariables" and credential(key):
        raise Untranslatable("what a sender proves itself with is not passed on")
    if kind == "genericRequestVariables":
        return f"{name(('query', key))} | default({otherwise})"
    if kind == "genericHeaderVariables":
        return f"{name(('headers', key.lower()))} | default({otherwise})"
    written = text(one, "value")
    if text(one, "expressionType") == "XPath" or (not written.startswith("$") and "/" in written):
        raise Untranslatable("it is an XPath, and bodies here are JSON or forms")
    if not written.startswith("$"):
        raise Untranslatable(f"{written!r} is no JSONPath: one begins with $")
    steps = path(written[1:])
    return "body | json" if steps == ("body",) else f"{name(steps)} | default({otherwise})"


def _filter(trigger: MapNode, names: dict[str, str]) -> Iterator[str]:
    """Translate the filter: a text made of variables that a regular expression must be found in."""
    pattern, filtered = text(trigger, "regexpFilterExpression"), text(trigger, "regexpFilterText")
    if not pattern:
        return
    parts, at = [], 0
    for use in _USE.finditer(filtered):
        known = use[1] or use[2]
        if known not in names:
            raise Untranslatable(f"it uses ${known}, which is no variable here")
        if credential(known):
            raise Untranslatable(f"${known} is compared with a secret, which no rule may hold")
        parts += [literal(filtered[at : use.start()])] * (use.start() > at) + [names[known]]
        at = use.end()
    parts += [literal(filtered[at:])] * (at < len(filtered) or not parts)
    if _NOT_JAVA.search(pattern):
        raise Untranslatable(f"{pattern!r} means something else in Java than in RE2")
    try:
        compile_pattern(pattern)
    except ExpressionError as error:
        raise Untranslatable(f"{error} (RE2 is linear, and has no lookaheads and backreferences)") from None
    # `join` makes text of numbers and of true and false, too, as Jenkins does.
    yield f"([{', '.join(parts)}] | join) is matching {literal(pattern)}"
