"""Hooks of adnanh/webhook into rules. Pure.

https://github.com/adnanh/webhook/tree/master/docs: Hook-Definition, Hook-Rules, Referencing-Request-Values.
"""

import re
from typing import NamedTuple

from bridge.errors import ExpressionError
from bridge.functions import compile_pattern
from bridge.importers.cel_tokens import Untranslatable
from bridge.importers.draft import NEVER, Draft, Rule, Source
from bridge.importers.reading import at, documents, entries, items, line, text
from bridge.importers.writing import credential, literal, name, steps, verbatim
from bridge.yaml_text import ListNode, MapNode, Node

_HASH = re.compile(r"payload-(?:hash|hmac)-(sha1|sha256|sha512)")
_BARE = ("x-gitea-signature", "x-gogs-signature", "x-forgejo-signature")
"""Nothing stands before the signature in these."""
_GITHUB = ("x-hub-signature", "x-hub-signature-256")
_LIKE_NO_TEXT = re.compile(r"true|false|null|-?[0-9.eE+-]+|[\[{].*", re.DOTALL)
_UNTOLD = {"id", "execute-command", "trigger-rule", "pass-arguments-to-command", "pass-environment-to-command"}
_WHY = {
    "command-working-directory": "a workflow has no directory here",
    "pass-file-to-command": "a workflow takes text variables, no files",
    "response-message": "a sender is answered with what was accepted, as JSON",
    "success-http-response-code": "a delivery that starts something is answered with 202",
    "response-headers": "the answer's headers are the bridge's own",
    "include-command-output-in-response": "the answer comes before the run; a notifier tells its result",
    "include-command-output-in-response-on-error": "the answer comes before the run; a notifier tells its result",
    "http-methods": "deliveries are POST requests",
    "incoming-payload-content-type": "JSON and forms are told by their Content-Type",
    "trigger-rule-mismatch-http-response-code": "a delivery that no rule wants is answered with 200 `no_match`",
    "trigger-signature-soft-failures": "an unsigned request is answered with 401, whatever the rules",
    "parse-parameters-as-json": "text from an event is never parsed again",
}


class _Hook(NamedTuple):
    """What is found on the way through one hook."""

    draft: Draft
    id: str
    secret: str
    signed: list[tuple[str, str]]
    """(Algorithm, header) of each signature that has to hold."""


def convert(data: bytes, file: str) -> Draft:
    """Convert a file of hooks; ConfigError when it cannot be read."""
    draft = Draft(file)
    for document in documents(data, file):
        for place, hook in enumerate(items(document) if isinstance(document, ListNode) else [document], 1):
            if isinstance(hook, MapNode):
                _convert(draft, hook, text(hook, "id") or f"hook-{place}")
            else:
                draft.note(line(hook), "this is no hook: one is a mapping with `id` and `execute-command`")
    return draft


def _convert(draft: Draft, hook: MapNode, id_: str) -> None:
    found = _Hook(draft, id_, draft.secret(f"{id_} secret"), [])
    for key, (mark, _) in hook.entries.items():
        if key not in _UNTOLD:
            draft.note(mark.line, f"hook {id_}: `{key}` is left out: {_WHY.get(key, 'it is not known here')}")
    when, events = _conditions(found, at(hook, "trigger-rule"))
    source = _source(found, line(hook))
    rule = Rule(name=id_, source=source.name, when=when, events=events, began=text(hook, "execute-command"))
    if source.auth and events:  # only GitHub's own events have names without being told
        rule.when = [*(f"headers['x-github-event'] == {literal(event)}" for event in events), *when]
        rule.events = []
    _variables(found, hook, rule)
    draft.add(rule, line(hook))


def _source(hook: _Hook, where: int) -> Source:
    """Turn the signatures into a source; a hook without one gets a bearer token."""
    if not hook.signed:
        hook.draft.note(
            where,
            f"hook {hook.id} takes unsigned requests; the bridge takes none: its sender has to show the token in "
            f"{hook.secret} as `Authorization: Bearer ...`, or sign (docs/rules.md, Sources)",
        )
        return hook.draft.source(hook.id, hook.secret, "type: bearer")
    hook.draft.note(where, f"hook {hook.id}: put its secret into the environment variable {hook.secret}")
    if all(header in _GITHUB for _, header in hook.signed):
        hook.draft.note(
            where,
            f"hook {hook.id} is taken for GitHub's, of whose signatures X-Hub-Signature-256 is checked; for another "
            "sender use a generic source",
        )
        return hook.draft.source(hook.id, hook.secret)
    if len(hook.signed) > 1:
        hook.draft.note(where, f"hook {hook.id}: only the first of its signatures is checked")
    algorithm, header = hook.signed[0]
    prefix = "" if header in _BARE else f"prefix: '{algorithm}=', "
    if prefix:
        hook.draft.note(
            where, f"hook {hook.id}: {header} is taken to begin with `{algorithm}=`; else leave `prefix` out"
        )
    auth = f"type: hmac, header: {header}, {prefix}algorithm: {algorithm}"
    return hook.draft.source(hook.id, hook.secret, auth)


def _conditions(hook: _Hook, rule: Node | None) -> tuple[list[str], list[str]]:
    """Translate the trigger rule; what its outermost `and` joins becomes several lines, and GitHub's event a name."""
    members = items(rule, "and") if at(rule, "and") is not None else ([] if rule is None else [rule])
    when: list[str] = []
    events: list[str] = []
    for member in members:
        try:
            event = _event(member)
            condition = None if event else _translated(hook, member, outermost=True)
        except Untranslatable as error:
            hook.draft.note(line(member), f"hook {hook.id}: {error}; until it is put in place of `false` it never runs")
            when.append(NEVER)
            continue
        if event:
            events.append(event)
        elif condition is not None:
            when.append(condition)
    if len(set(events)) > 1:
        hook.draft.note(line(rule), f"hook {hook.id}: it asks for two events at once, which no request can be")
        when.append(NEVER)
    return when, events[:1]


def _event(member: Node) -> str:
    """Return the name that a condition wants `X-GitHub-Event` to be."""
    match = at(member, "match")
    named = text(match, "parameter", "name").lower() == "x-github-event"
    header = text(match, "parameter", "source") == "header"
    return text(match, "value") if named and header and text(match, "type") == "value" else ""


def _translated(hook: _Hook, rule: Node, *, outermost: bool = False) -> str | None:
    """Translate one condition; None for one that the source now sees to. Raises Untranslatable."""
    found = entries(rule)
    if len(found) != 1:
        raise Untranslatable("a rule is one of `and`, `or`, `not` and `match`")
    [(kind, (_, inner))] = found.items()
    if kind == "match":
        return _match(hook, inner, outermost=outermost)
    if kind == "not":
        return f"not ({_translated(hook, inner)})"
    if kind in ("and", "or"):
        parts = [str(_translated(hook, member)) for member in items(inner)]
        if not parts:
            raise Untranslatable(f"`{kind}` of nothing")
        return f" {kind} ".join(f"({part})" for part in parts)
    raise Untranslatable(f"`{kind}` is no kind of rule")


def _match(hook: _Hook, match: Node, *, outermost: bool) -> str | None:
    kind = text(match, "type")
    signature = _HASH.fullmatch(kind)
    if signature or kind == "ip-whitelist":
        if not outermost:
            raise Untranslatable(
                f"`{kind}` within `or`, `not` or another `and`: it is the source that believes a sender"
            )
        if signature:
            header = text(match, "parameter", "name").lower()
            if text(match, "parameter", "source") != "header" or not re.fullmatch(r"[a-z0-9-]+", header):
                raise Untranslatable(f"`{kind}` whose signature stands in no header")
            hook.signed.append((signature[1], header))
        else:
            why = "who may connect is up to the proxy"
            hook.draft.note(line(match), f"hook {hook.id}: `ip-whitelist` is left out: {why}")
        return None
    return _compared(hook, match, kind)


def _compared(hook: _Hook, match: Node, kind: str) -> str:
    parameter = at(match, "parameter")
    _keep_secrets(hook, parameter)
    subject = _name(parameter)
    if kind == "value":
        wanted = text(match, "value")
        if not _LIKE_NO_TEXT.fullmatch(wanted):
            return f"{subject} is defined and {subject} == {literal(wanted)}"
        condition = f"([{subject}] | join) == {literal(wanted)}"
    elif kind == "regex":
        pattern = text(match, "regex")
        try:
            compile_pattern(pattern)
        except ExpressionError as error:
            raise Untranslatable(str(error)) from None
        condition = f"([{subject}] | join) is matching {literal(pattern)}"
    else:
        raise Untranslatable(f"`match` of the type {kind!r}")
    # There a value that is missing makes this one condition false, here it would make the whole line; and null has no
    # text, so it matches nothing.
    return f"{subject} is defined and {subject} is not none and {condition}"


def _keep_secrets(hook: _Hook, parameter: Node | None) -> None:
    """Refuse to write down what a sender proves itself with."""
    if credential(text(parameter, "name")):
        raise Untranslatable(
            f"{text(parameter, 'name')} is compared with a secret, which no rule may hold: have the sender show the "
            f"token in {hook.secret} as `Authorization: Bearer ...`, or sign, and take the condition out"
        )


def _name(parameter: Node | None) -> str:
    """Return the name of a parameter, or raise Untranslatable."""
    source, key = text(parameter, "source"), text(parameter, "name")
    if source == "payload" and key:
        return name(("body", *steps(key)))
    if source == "header" and key:
        return name(("headers", key.lower()))
    if source in ("url", "query") and key:
        return name(("query", key))
    raise Untranslatable(
        f"the source {source!r} ({key!r}) has no equal here" if source else "a parameter without a `source`"
    )


def _variables(hook: _Hook, node: MapNode, rule: Rule) -> None:
    """Give the template a variable for each argument, of the same name as its environment variable or parameter."""
    passed = [
        *(("arg", argument) for argument in items(node, "pass-arguments-to-command")),
        *(("env", argument) for argument in items(node, "pass-environment-to-command")),
    ]
    for place, (kind, argument) in enumerate(passed, 1):
        key = text(argument, "name")
        wanted = text(argument, "envname") or (f"HOOK_{key}" if kind == "env" else key.rsplit(".", 1)[-1])
        label = re.sub(r"[^A-Za-z0-9_]+", "_", wanted).strip("_")[:50] or f"argument_{place}"
        if label in rule.variables:
            label = f"{label}_{place}"
        try:
            rule.variables[label] = _value(argument)
        except Untranslatable as error:
            hook.draft.note(line(argument), f"hook {hook.id}: the argument {label} is left out: {error}")


def _value(argument: Node) -> str:
    source = text(argument, "source")
    whole = {"entire-payload": "body", "entire-headers": "headers", "entire-query": "query"}.get(source)
    if whole is not None:
        return f"${{{{ {whole} | json }}}}"
    if source == "string":
        return verbatim(text(argument, "name"))
    if source in ("header", "url", "query") and credential(text(argument, "name")):
        raise Untranslatable("what a sender proves itself with is not passed on")
    return f"${{{{ {_name(argument)} | default('') }}}}"
