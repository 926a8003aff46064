"""Read the configuration: YAML files -> Config, or every mistake in them with file, line and column.

Three steps, each of which goes on after a mistake: text to nodes (`yaml_text`), nodes to records
(`yaml_convert`), and what the records mean together (`config_check`).
"""

import contextlib
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from bridge.config_check import Entry, Parts, check
from bridge.config_files import HASH_DIGITS, matching
from bridge.config_warnings import warnings
from bridge.contracts import Engine, Notifier, Source
from bridge.duration import Duration
from bridge.engines import ENGINES, AnyEngine
from bridge.errors import ConfigError, Problem
from bridge.model import Durability
from bridge.notifiers import AnyNotifier
from bridge.rules import Name, Rule, RuleSet, Template
from bridge.sources import AnySource
from bridge.suggest import unknown
from bridge.yaml_convert import FAILED, Converter, members_of, records_of
from bridge.yaml_text import ListNode, MapNode, Mark, Node, Report, ScalarNode, mark_of, parse

VERSION = 1
SECTIONS: dict[str, tuple[str, Any]] = {
    "sources": ("source", AnySource),
    "engines": ("engine", AnyEngine),
    "templates": ("template", Template),
    "notifiers": ("notifier", AnyNotifier),
}
"""The named things: top-level key -> what one of them is called, and its type."""
MAIN_ONLY: dict[str, tuple[Any, Any]] = {
    "durability": (Durability, "standard"),
    "retention": (Duration, Duration(days=7)),
}
"""What is said once, in the main file: key -> its type and its value when it is left out."""
KEYS = ("version", "include", *MAIN_ONLY, *SECTIONS, "rules")


class Written(Struct, frozen=True):
    """Where a rule is written, for those who speak of it."""

    file: str
    node: Node
    """The whole rule."""

    def problem(self, path: tuple[str | int, ...], message: str) -> Problem:
        """Word a problem with the value at `path`."""
        mark = mark_of(self.node, path)
        return Problem(self.file, mark.line, mark.column, message)


class Config(Struct, frozen=True, kw_only=True):
    """What the bridge does, checked: everything a rule names is there."""

    sources: dict[str, Source]
    engines: dict[str, Engine]
    templates: dict[str, Template]
    notifiers: dict[str, Notifier]
    ruleset: RuleSet
    hash: str
    """The first 16 hex digits of the SHA-256 over all files' bytes, in the order of `files` and `attached`."""
    files: tuple[Path, ...]
    """The file asked for, then those it includes."""
    patterns: tuple[str, ...] = ()
    """What `include:` says: a file that comes to match is part of the configuration from then on."""
    attached: tuple[Path, ...] = ()
    """What templates are made of beside that: an engine's workflow files."""
    durability: Durability = "standard"
    retention: timedelta = timedelta(days=7)
    """How long bodies are kept."""
    written: dict[str, Written] = {}
    """By the rule's name."""
    warnings: tuple[Problem, ...] = ()
    """What can be run, but is surely not meant."""

    @property
    def folder(self) -> Path:
        """Where the configuration lies."""
        return self.files[0].parent if self.files else Path()


def load(path: Path, environ: Mapping[str, str] | None) -> Config:
    """Read a configuration and everything it includes.

    Secrets are read from `environ` and the files they name; None leaves them unread (`check --no-secrets`).
    Raises ConfigError with every problem found.
    """
    files = _Files(environ)
    files.read(path)
    files.templates()
    attached = files.attach(path.parent)
    if files.whole:
        check(files.parts, path.parent)
    if files.problems:
        raise ConfigError(files.problems, files.patterns, attached)
    parts = files.parts
    templates = _values(parts.templates)
    return Config(
        sources=_values(parts.sources),
        engines=_values(parts.engines),
        templates=templates,
        notifiers=_values(parts.notifiers),
        ruleset=RuleSet([entry.value for entry in parts.rules], templates),
        hash=files.digest.hexdigest()[:HASH_DIGITS],
        files=tuple(files.read_so_far),
        **files.said,
        written={entry.name: Written(entry.report.file, entry.node) for entry in parts.rules},
        patterns=tuple(files.patterns),
        attached=attached,
        warnings=warnings(parts),
    )


def _values(entries: Mapping[str, Entry]) -> dict[str, Any]:
    return {name: entry.value for name, entry in entries.items()}


class _Files:
    """Reads files one after the other into the same parts."""

    def __init__(self, environ: Mapping[str, str] | None) -> None:
        self._environ = environ
        self._rule_places: dict[str, str] = {}
        self.digest = hashlib.sha256()
        self.read_so_far: list[Path] = []
        self.patterns: list[str] = []
        self.problems: list[Problem] = []
        self.parts = Parts()
        self.said = {key: default for key, (_, default) in MAIN_ONLY.items()}
        self.whole = True
        """Whether every section could be read: only then is an unknown name surely a mistake."""

    def read(self, path: Path) -> None:
        """Read the main file, then what it includes."""
        report = Report(str(path), self.problems)
        top = self._top(path, report)
        if top is None:
            return
        if "version" not in top.entries:
            report.add(top.mark, f"'version' is missing: begin the file with `version: {VERSION}`")
        self._entries(top, report)
        for item in self._patterns(top, report):
            self._include(path, item, report)

    def _top(self, path: Path, report: Report) -> MapNode | None:
        node = None
        try:
            data = path.read_bytes()
        except OSError as error:
            report.add(Mark(1, 1), f"the file cannot be read: {error.strerror}")
        else:
            self.read_so_far.append(path)
            self.digest.update(data)
            node = parse(data, report)
        if isinstance(node, MapNode):
            return node
        self.whole = False
        if node is not None:
            report.add(node.mark, f"a configuration is a mapping with the keys {', '.join(KEYS)}")
        return None

    def _entries(self, top: MapNode, report: Report) -> None:
        for key, (mark, node) in top.entries.items():
            if key not in KEYS:
                self._unusable(report, mark, unknown("key", key, KEYS))
            elif key == "version":
                self._version(node, report)
            elif key in MAIN_ONLY:
                self._say(key, node, report)
            elif not (isinstance(node, ScalarNode) and node.null):  # `rules:` with every rule commented out is none
                if key in SECTIONS:
                    self._section(key, node, report)
                elif key == "rules":
                    self._rules(node, report)

    def _unusable(self, report: Report, mark: Mark, message: str) -> None:
        self.whole = False
        report.add(mark, message)

    def _version(self, node: Node, report: Report) -> None:
        if not (isinstance(node, ScalarNode) and node.text == str(VERSION)):
            report.add(node.mark, f"this genesis-bridge reads version {VERSION}: write `version: {VERSION}`")

    def _say(self, key: str, node: Node, report: Report) -> None:
        kind, default = MAIN_ONLY[key]
        value = Converter(report.within(key), None).value(node, kind)
        self.said[key] = default if value is FAILED else value

    def _patterns(self, top: MapNode, report: Report) -> list[ScalarNode]:
        _, node = top.entries.get("include", (top.mark, ListNode(top.mark, [])))
        listed = _as_list(node)
        if Converter(report.within("include"), None).value(listed, list[str]) is FAILED:
            self.whole = False
        items = listed.items if isinstance(listed, ListNode) else []
        return [item for item in items if isinstance(item, ScalarNode) and not item.null]

    def _include(self, path: Path, pattern: ScalarNode, report: Report) -> None:
        self.patterns.append(pattern.text)
        files = matching(path, pattern.text)
        if not files:
            self._unusable(report, pattern.mark, f"no file matches {pattern.text!r} beside {path.name}")
        for file in files:
            if file not in self.read_so_far:
                self._included(file)

    def _included(self, path: Path) -> None:
        report = Report(str(path), self.problems)
        top = self._top(path, report)
        if top is None:
            return
        self._entries(top, report)
        if "include" in top.entries:
            mark, _ = top.entries["include"]
            report.add(mark, "an included file does not include others: name them in the main file")
        for key in MAIN_ONLY:
            if key in top.entries:
                mark, _ = top.entries[key]
                report.add(mark, f"{key!r} holds for everything: say it in the main file, not in an included one")

    def _section(self, key: str, node: Node, report: Report) -> None:
        what, kind = SECTIONS[key]
        if not isinstance(node, MapNode):
            self._unusable(report, node.mark, f"{key!r} is a mapping from names to {key}")
            return
        known: dict[str, Entry] = getattr(self.parts, key)
        for name, (mark, value) in node.entries.items():
            about = report.within(f"{what} {name!r}")
            Converter(about, None).value(ScalarNode(mark, name, plain=False), Name)
            if name in known:
                about.add(mark, f"there is another of this name at {known[name].report.file}:{known[name].mark.line}")
            else:
                known[name] = self._entry(name, mark, value, about, kind)

    def _entry(self, name: str, mark: Mark, node: Node, report: Report, kind: Any) -> Entry:
        converter = Converter(report, self._environ)
        if kind in (Template, Rule):
            value = _readable(converter, node, kind) if kind is Rule else None
            return Entry(name=name, mark=mark, node=node, report=report, kind=kind, value=value)
        value = converter.value(node, kind)
        cls = converter.kind(node, records_of(members_of(kind))) if isinstance(node, MapNode) else None
        return Entry(name=name, mark=mark, node=node, report=report, kind=cls, value=None if value is FAILED else value)

    def templates(self) -> None:
        """Read the templates, once all files are read: which keys one has is for its engine to say."""
        for name, entry in self.parts.templates.items():
            kind = self._template_kind(entry.node)
            value = _readable(Converter(entry.report, self._environ), entry.node, kind)
            self.parts.templates[name] = structs.replace(entry, kind=kind, value=value)

    def attach(self, folder: Path) -> tuple[Path, ...]:
        """Return the files that templates are made of, each once; which they are is for their engines to say."""
        found: dict[Path, None] = {}
        for entry in self.parts.templates.values():
            engine = self.parts.engines.get(entry.value.engine)
            if engine is not None and isinstance(engine.value, Engine) and entry.value.id:
                found.update(dict.fromkeys(engine.value.files(entry.value, folder)))
        for file in found:
            with contextlib.suppress(OSError):  # why it cannot be read is said where its template is checked
                self.digest.update(file.read_bytes())
        return tuple(found)

    def _template_kind(self, node: Node) -> type[Template]:
        _, named = node.entries.get("engine", (None, None)) if isinstance(node, MapNode) else (None, None)
        entry = self.parts.engines.get(named.text) if isinstance(named, ScalarNode) else None
        if entry is not None and entry.kind is not None and issubclass(entry.kind, Engine):
            return entry.kind.template
        # Of an engine that nobody knows, the template may have the keys of any.
        return min({engine.template for engine in ENGINES}, key=lambda kind: _misfit(node, kind))

    def _rules(self, node: Node, report: Report) -> None:
        if not isinstance(node, ListNode):
            self._unusable(report, node.mark, "'rules' is a list: begin each rule with `- name:`")
            return
        for place, item in enumerate(node.items, 1):
            self._rule(place, item, report)

    def _rule(self, place: int, node: Node, report: Report) -> None:
        if not isinstance(node, MapNode):
            report.add(node.mark, f"rule {place} is not a mapping: begin it with `- name:`")
            return
        mark, name = node.entries.get("name", (node.mark, None))
        title = name.text if isinstance(name, ScalarNode) else ""
        about = report.within(f"rule {title!r}" if title else f"rule {place}")
        if title in self._rule_places:
            about.add(mark, f"there is another of this name at {self._rule_places[title]}")
        elif title:
            self._rule_places[title] = f"{report.file}:{mark.line}"
        self.parts.rules.append(self._entry(title, mark, _with_list(node, "when"), about, Rule))


def _readable(converter: Converter, node: Node, kind: Any) -> Any:
    """Return a template or rule of the fields that could be read; what is missing or wrong is empty, and reported."""
    values: dict[str, Any] = {}
    if isinstance(node, MapNode):
        values = converter.fields(node, kind)
    else:
        converter.value(node, kind)
    return kind(**{field.name: "" for field in structs.fields(kind) if field.required} | values)


def _misfit(node: Node, kind: type[Template]) -> tuple[int, str]:
    problems: list[Problem] = []
    _readable(Converter(Report("", problems), None), node, kind)
    return len(problems), kind.__name__


def _as_list(node: Node) -> Node:
    return ListNode(node.mark, [node]) if isinstance(node, ScalarNode) else node


def _with_list(node: MapNode, key: str) -> MapNode:
    """Let one condition stand for a list of one."""
    if key not in node.entries:
        return node
    mark, value = node.entries[key]
    wrapped = value if isinstance(value, ScalarNode) and value.null else _as_list(value)
    return MapNode(node.mark, node.entries | {key: (mark, wrapped)})
