"""Tekton Triggers (EventListener, Trigger, TriggerBinding, TriggerTemplate) into rules. Pure.

https://tekton.dev/docs/triggers/: every document of one file, or of several behind one another.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from bridge.importers import cel
from bridge.importers.cel import Translated
from bridge.importers.cel_tokens import Untranslatable
from bridge.importers.draft import NEVER, Draft, Rule
from bridge.importers.jsonpath import path
from bridge.importers.reading import at, documents, entries, items, line, text
from bridge.importers.writing import credential, literal, name, variable, verbatim
from bridge.yaml_text import Node

_KINDS = ("EventListener", "Trigger", "TriggerBinding", "ClusterTriggerBinding", "TriggerTemplate")
_USE = re.compile(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_SENDERS = ("github", "gitlab", "bitbucket", "slack")


class _Interceptor(NamedTuple):
    """One interceptor, whichever way it was written."""

    kind: str
    params: dict[str, Node]
    line: int


class _Trigger:
    """What is found on the way through one trigger."""

    def __init__(self, draft: Draft, label: str) -> None:
        self.draft = draft
        self.label = label
        self.when: list[str] = []
        self.events: list[str] = []
        self.extensions: dict[str, Translated] = {}
        self.secret = ""
        self.github = False

    def note(self, where: int, message: str) -> None:
        self.draft.note(where, f"trigger {self.label}: {message}")

    def never(self, where: int, message: str) -> None:
        """Say what is not understood, and let the rule not run for it."""
        self.note(where, f"{message}; until it is put in place of `false` the rule never runs")
        self.when.append(NEVER)


def convert(data: bytes, file: str) -> Draft:
    """Convert a file of manifests; ConfigError when it cannot be read."""
    draft = Draft(file)
    manifests = [one for document in documents(data, file) for one in _listed(document)]
    known = {(text(one, "kind"), text(one, "metadata", "name")): one for one in manifests}
    for one in manifests:
        kind = text(one, "kind")
        if kind not in _KINDS:
            draft.note(line(one), f"{kind or 'this'} {text(one, 'metadata', 'name')} is none of {', '.join(_KINDS)}")
    triggers = list(_triggers(draft, manifests, known))
    for place, (label, trigger) in enumerate(triggers, 1):
        _convert(draft, trigger, label or f"trigger-{place}", known)
    if not triggers:
        draft.note(1, "there is no EventListener with triggers, and no Trigger, here")
    return draft


def _listed(document: Node) -> list[Node]:
    return items(document, "items") if text(document, "kind") == "List" else [document]


def _triggers(draft: Draft, manifests: list[Node], known: dict[tuple[str, str], Node]) -> Iterator[tuple[str, Node]]:
    used = set()
    for listener in (one for one in manifests if text(one, "kind") == "EventListener"):
        label = text(listener, "metadata", "name")
        for key in ("triggerGroups", "namespaceSelector", "labelSelector"):
            if at(listener, "spec", key) is not None:
                draft.note(
                    line(at(listener, "spec", key)), f"listener {label}: `{key}` is left out: it is not known here"
                )
        for trigger in items(listener, "spec", "triggers"):
            ref = text(trigger, "triggerRef")
            if ref and ("Trigger", ref) in known:
                used.add(ref)
                yield ref, known["Trigger", ref]
            elif ref:
                draft.note(line(trigger), f"listener {label}: the Trigger {ref} is not in this file")
            else:
                yield text(trigger, "name") or label, trigger
    for one in manifests:
        if text(one, "kind") == "Trigger" and text(one, "metadata", "name") not in used:
            yield text(one, "metadata", "name"), one


def _convert(draft: Draft, node: Node, label: str, known: dict[tuple[str, str], Node]) -> None:
    spec = at(node, "spec") or node
    trigger = _Trigger(draft, label)
    for one in items(spec, "interceptors"):
        for interceptor in _interceptors(trigger, one):
            _intercepted(trigger, interceptor)
    if not trigger.secret:
        trigger.secret = draft.secret(f"{label} token")
        trigger.note(
            line(node),
            f"nothing says who may send, and the bridge takes no unsigned requests: its sender has to show the token "
            f"in {trigger.secret} as `Authorization: Bearer ...`, or sign (docs/rules.md, Sources)",
        )
    auth = "" if trigger.github else "type: bearer"
    source = draft.source("github" if trigger.github else label, trigger.secret, auth)
    rule = Rule(name=label, source=source.name, events=trigger.events, when=trigger.when)
    _template(trigger, spec, rule, known, _bindings(trigger, spec, known))
    draft.add(rule, line(node))


def _interceptors(trigger: _Trigger, node: Node) -> Iterator[_Interceptor]:
    """Read one entry of `interceptors`, the older form included."""
    kind = text(node, "ref", "name")
    if kind:
        params = {text(param, "name"): found for param in items(node, "params") if (found := at(param, "value"))}
        yield _Interceptor(kind, params, line(node))
        return
    older = {key: place for key, place in entries(node).items() if key not in ("name", "params")}
    for key, (mark, inner) in older.items():
        yield _Interceptor(key, {param: found for param, (_, found) in entries(inner).items()}, mark.line)
    if not older:
        trigger.never(line(node), "an interceptor that names nothing")


def _intercepted(trigger: _Trigger, one: _Interceptor) -> None:
    if one.kind == "cel":
        _cel(trigger, one)
    elif one.kind in _SENDERS:
        _sender(trigger, one)
    else:
        trigger.never(one.line, f"the interceptor `{one.kind}` is a program of its own")


def _cel(trigger: _Trigger, one: _Interceptor) -> None:
    written = one.params.get("filter")
    if written is not None:
        try:
            trigger.when += cel.conditions(text(written), trigger.extensions)
        except Untranslatable as error:
            trigger.never(line(written), f"the filter: {error}")
    for overlay in items(one.params.get("overlays")):
        key, expression = text(overlay, "key"), text(overlay, "expression")
        try:
            trigger.extensions[key] = cel.translate(expression, trigger.extensions)
        except Untranslatable as error:
            trigger.note(line(overlay), f"the overlay {key!r} is left out: {error}")


def _sender(trigger: _Trigger, one: _Interceptor) -> None:
    """Take the secret and the event names; GitHub's is a source here, others show a token."""
    for key, node in one.params.items():
        if key == "secretRef":
            trigger.secret = variable(f"{text(node, 'secretName')}_{text(node, 'secretKey')}")
            trigger.note(line(node), f"put that secret into the environment variable {trigger.secret}")
        elif key == "eventTypes":
            _events(trigger, one, [text(event) for event in items(node)])
        elif key == "addChangedFiles":
            trigger.note(
                line(node), "`extensions.changed_files` has no equal here: of a push there is `files.added` and so on"
            )
        else:
            trigger.never(line(node), f"`{key}` of the interceptor `{one.kind}` has no equal here")
    trigger.github = one.kind == "github" and "secretRef" in one.params
    if one.kind != "github":
        trigger.note(one.line, f"`{one.kind}` signs in its own way; here its sender shows a bearer token, or signs")
    elif trigger.events and not trigger.github:
        trigger.when.append(f"headers['x-github-event'] in {_list(trigger.events)}")
        trigger.events = []


def _events(trigger: _Trigger, one: _Interceptor, names: list[str]) -> None:
    if one.kind == "github":
        trigger.events = names
    elif one.kind == "gitlab":
        trigger.when.append(f"headers['x-gitlab-event'] in {_list(names)}")
    elif one.kind == "bitbucket":
        trigger.when.append(f"headers['x-event-key'] in {_list(names)}")
    else:
        trigger.never(one.line, f"`eventTypes` of the interceptor `{one.kind}`")


def _list(texts: list[str]) -> str:
    return f"[{', '.join(map(literal, texts))}]"


def _bindings(trigger: _Trigger, spec: Node, known: dict[tuple[str, str], Node]) -> dict[str, Node]:
    """Return the parameters that bindings give, with where their value stands."""
    params: dict[str, Node] = {}
    for binding in items(spec, "bindings"):
        ref = text(binding, "ref")
        found: Node | None = binding
        if ref:
            found = known.get((text(binding, "kind") or "TriggerBinding", ref))
            if found is None:
                trigger.note(line(binding), f"the binding {ref} is not in this file, so what it gives is missing")
        for param in [*items(found, "spec", "params"), *([binding] if text(binding, "name") and not ref else [])]:
            given = at(param, "value")
            if given is not None:
                params[text(param, "name")] = given
    return params


def _template(
    trigger: _Trigger, spec: Node, rule: Rule, known: dict[tuple[str, str], Node], params: dict[str, Node]
) -> None:
    ref = text(spec, "template", "ref") or text(spec, "template", "name")
    template = at(spec, "template", "spec") or at(known.get(("TriggerTemplate", ref)), "spec")
    if template is None:
        trigger.note(line(at(spec, "template") or spec), f"the template {ref or 'of it'} is not in this file")
        rule.declared = dict.fromkeys(params)
    for param in items(template, "params"):
        rule.declared[text(param, "name")] = _default(param)
        if text(param, "name") not in params and at(param, "default") is None:
            trigger.note(line(param), f"no binding gives the parameter {text(param, 'name')}, which has no default")
    rule.began = ", ".join(
        f"{text(one, 'kind')} {text(one, 'metadata', 'generateName') or text(one, 'metadata', 'name')}".strip()
        for one in items(template, "resourcetemplates")
    )
    for key, node in params.items():
        if key not in rule.declared:
            trigger.note(line(node), f"the parameter {key} is left out: the template does not take it")
            continue
        try:
            rule.variables[key] = _value(text(node), trigger.extensions)
        except Untranslatable as error:
            trigger.note(line(node), f"the parameter {key} is left out: {error}")


def _default(param: Node) -> str | None:
    return None if at(param, "default") is None else text(param, "default")


def _value(written: str, extensions: dict[str, Translated]) -> str:
    """Translate `$(body.ref)` and text around it."""
    parts, start = [], 0
    for use in _USE.finditer(written):
        parts += [verbatim(written[start : use.start()]), f"${{{{ {_used(use[1].strip(), extensions)} }}}}"]
        start = use.end()
    return "".join([*parts, verbatim(written[start:])])


def _used(written: str, extensions: dict[str, Translated]) -> str:
    root, rest = re.match(r"(\w*)(.*)", written, re.DOTALL).groups()  # type: ignore[union-attr]  # it matches anything
    if root == "body":
        steps = path(rest)
        return name(steps) if len(steps) > 1 else "body | json"
    if root == "header":
        steps = path(rest, "headers")
        if len(steps) > 1 and not credential(str(steps[1])):
            return name(("headers", str(steps[1]).lower()))
    if root == "extensions":
        steps = path(rest, "extensions")
        known = extensions.get(str(steps[1])) if len(steps) == 2 else None  # noqa: PLR2004 - the root and one
        if known is not None:
            return known.text
    raise Untranslatable(f"$({written[:80]}) has no equal here")
