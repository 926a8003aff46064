"""A configuration as far as another tool's file gives it, and what of that file it does not carry over. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from bridge.errors import ExpressionError
from bridge.expressions import Condition, Text
from bridge.importers.writing import comment, scalar, slug, variable

NEVER = "false"
"""The condition that stands for one that could not be translated."""
WORKFLOW = "00000000-0000-4000-8000-000000000000"


class Note(Struct, frozen=True, order=True):
    """Something that is not carried over as it was, and why."""

    line: int
    message: str


class Source(Struct, kw_only=True):
    """A sender."""

    name: str
    auth: str = ""
    """Of a generic one, as YAML; GitHub's says it all."""
    secret: str
    """The environment variable of its secret."""


class Rule(Struct, kw_only=True):
    """One rule and the template it starts, which has its name."""

    name: str
    source: str
    events: list[str] = []
    when: list[str] = []
    variables: dict[str, str] = {}
    """Name -> text with ${{ }}."""
    declared: dict[str, str | None] = {}
    """What the template takes -> its default."""
    began: str = ""
    """What it started there, in words."""


class Draft:
    """Collects sources, rules and notes, and writes them as a configuration that loads."""

    def __init__(self, file: str) -> None:
        """Begin empty; `file` is named in the notes."""
        self.file = file
        self.notes: list[Note] = []
        self.sources: dict[str, Source] = {}
        self._secrets: set[str] = set()
        self.rules: list[Rule] = []

    def note(self, line: int, message: str) -> None:
        """Say that something is not carried over as it was."""
        note = Note(line, comment(message))
        if note not in self.notes:
            self.notes.append(note)

    def secret(self, wanted: str) -> str:
        """Return the name of an environment variable for a secret that nobody else knows."""
        name = _free(variable(wanted), self._secrets, "_")
        self._secrets.add(name)
        return name

    def source(self, wanted: str, secret: str, auth: str = "") -> Source:
        """Return a source that believes who knows the secret, whatever it ends up being called.

        `auth` describes a generic one; without it, it is GitHub.
        """
        same = (one for one in self.sources.values() if (one.auth, one.secret) == (auth, secret))
        made = next(same, None) or Source(name=_free(slug(wanted, "sender"), self.sources), auth=auth, secret=secret)
        self.sources[made.name] = made
        return made

    def add(self, rule: Rule, line: int) -> None:
        """Add a rule, without what does not compile."""
        rule.name = _free(slug(rule.name, "rule"), {one.name for one in self.rules})
        rule.when = [self._condition(text, line) for text in dict.fromkeys(rule.when)]
        rule.variables = {name: text for name, text in rule.variables.items() if self._readable(name, text, line)}
        for name in rule.variables:
            rule.declared.setdefault(name, None)
        self.rules.append(rule)

    def _condition(self, text: str, line: int) -> str:
        try:
            Condition(text)
        except ExpressionError as error:
            self.note(line, f"the condition {text[:200]} is not available here, so the rule never runs: {error}")
            return NEVER
        return text

    def _readable(self, name: str, text: str, line: int) -> bool:
        try:
            Text(text)
        except ExpressionError as error:
            self.note(line, f"the variable {name} is left out: {error}")
            return False
        return True

    def text(self) -> str:
        """Write the configuration."""
        return "\n".join([*self._head(), *self._sources(), *_ENGINES, *self._templates(), *self._rules(), ""])

    def told(self) -> list[str]:
        """Return the notes, as file:line: message, in the order of the file."""
        return [f"{comment(self.file)}:{note.line}: {note.message}" for note in sorted(self.notes)]

    def _head(self) -> list[str]:
        notes = [f"#   {note}" for note in self.told()]
        said = ["# Not carried over as it was:", *notes] if notes else ["# Everything in it was carried over."]
        return [f"# Made by `genesis-bridge import` from {comment(self.file)}.", *said, *_ADVICE, "version: 1"]

    def _sources(self) -> list[str]:
        lines = ["sources:"] if self.sources else []
        for one in self.sources.values():
            secrets = f"secrets: [{{env: {one.secret}}}]"
            rest = f"type: generic, auth: {{{one.auth}, {secrets}}}" if one.auth else f"type: github, {secrets}"
            lines.append(f"  {scalar(one.name)}: {{{rest}}}  # POST /hooks/{one.name}")
        return lines

    def _templates(self) -> list[str]:
        lines = ["templates:"] if self.rules else []
        for rule in self.rules:
            began = f"  # was: {comment(rule.began)}" if rule.began else ""
            lines += [f"  {scalar(rule.name)}:{began}", "    engine: genesis", f"    id: {WORKFLOW}"]
            if rule.declared:
                lines.append("    variables:")
            for name, default in rule.declared.items():
                given = "" if default is None else f"default: {scalar(default, flow=True)}"
                lines.append(f"      {scalar(name)}: {{{given}}}")
        return lines

    def _rules(self) -> list[str]:
        lines = ["rules:"] if self.rules else []
        for rule in self.rules:
            lines += [f"  - name: {scalar(rule.name)}", f"    source: {scalar(rule.source)}"]
            if rule.events:
                lines.append(f"    event: [{', '.join(scalar(event, flow=True) for event in rule.events)}]")
            if rule.when:
                lines += ["    when:", *(f"      - {scalar(text)}" for text in rule.when)]
            elif not rule.events:
                lines.append("    always: true")
            lines.append(f"    template: {scalar(rule.name)}")
            if rule.variables:
                lines.append("    variables:")
                lines += [f"      {scalar(name)}: {scalar(text, flow=True)}" for name, text in rule.variables.items()]
        return lines


_ADVICE = (
    "# Put the ids of your workflows in for the zeros, and read every rule before you trust it;",
    "# `genesis-bridge check` says what is still missing.",
)
_ENGINES = ("engines:", "  genesis: {type: genesis, api_key: {env: GENESIS_API_KEY}}")


def _free(name: str, taken: Iterable[str], between: str = "-") -> str:
    """Return the name, or with a number behind it the first that is free."""
    names = set(taken)
    if name not in names:
        return name
    return next(free for n in range(2, len(names) + 3) if (free := f"{name}{between}{n}") not in names)
