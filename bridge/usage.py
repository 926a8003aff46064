"""Slack usage lines (`e2e <url> [branch=main]`): what a command takes, read from what people really type. Pure.

A line is literal words, then `<required>`, `[name]`, `[name=default]`, `[name=a|b]` (the first is the default),
`[--flag]` and, as the last, `<rest...>`. Arguments are given in this order or as `name=value` in any; beside a
`<rest...>` the optional ones only by name, in front of it, for everything from its first word on is its text.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, Self

from msgspec import Struct

from bridge.errors import BridgeError
from bridge.mrkdwn import plain, unescape

_HOW = "write literal words, then <required>, [name], [name=default], [name=a|b], [--flag] and, as the last, <rest...>"
_PIECE = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\S+")
_WORD = re.compile(r"\w[\w.-]*")
_REQUIRED = re.compile(r"<([A-Za-z]\w*)(\.\.\.)?>", re.ASCII)
_OPTIONAL = re.compile(r"\[([A-Za-z]\w*)(?:=([^\[\]]*))?\]", re.ASCII)
_FLAG = re.compile(r"\[--([A-Za-z][\w-]*)\]", re.ASCII)

# Slack's own brackets: <@U1|name>, <#C1|name>, <!here>, <https://x|label>. People's are escaped.
_REFERENCE = re.compile(r"<([@#!][^<>|\s]*|[a-z][a-z0-9+.-]*:[^<>|\s]*)(?:\|[^<>]*)?>")
_RUN = re.compile(rf"(?:{_REFERENCE.pattern}|\S)*")
_NAMED = re.compile(r"([A-Za-z]\w*)=", re.ASCII)
# macOS and phones turn the two hyphens of `--flag` into one dash.
_GIVEN_FLAG = re.compile("(?:--|[\u2013\u2014])([A-Za-z][A-Za-z0-9_-]*)(=.*)?", re.DOTALL)
_QUOTES = (re.compile('["\u201c\u201d\u201e\u201f]'), re.compile("['\u2018\u2019\u201a\u201b]"))
_LONGEST_SHOWN = 60


class UsageMismatch(BridgeError):
    """The text begins with other words: it is not meant for this rule."""


class UsageError(BridgeError):
    """The text is meant for this rule but cannot be used; one line says why and what was expected."""


class Argument(Struct, frozen=True, kw_only=True):
    """One argument of a usage line."""

    name: str
    """As a rule says it after `args.`; a flag's hyphens are underscores in it."""
    kind: Literal["required", "optional", "flag", "rest"]
    written: str
    """As it stands in the line."""
    default: str | None = None
    choices: tuple[str, ...] = ()


class _Token(NamedTuple):
    """One word of what a person typed."""

    text: str
    name: str | None = None
    """What stands before the `=` of `name=value`."""
    value: str = ""
    quoted: bool = False
    """Whether it, or its value, is in quotes."""

    @property
    def literal(self) -> bool:
        """Whether quotes around the whole word say that it is no `name=value` and no flag."""
        return self.quoted and self.name is None


class Usage:
    """A usage line: turns the raw text of a command into `args`, and itself into help."""

    def __init__(self, source: str) -> None:
        """Read the line; ValueError says what is wrong with it."""
        pieces = _PIECE.findall(source)
        count = next((at for at, piece in enumerate(pieces) if piece[0] in "<["), len(pieces))
        self.source = " ".join(pieces)
        self.words = tuple(pieces[:count])
        for word in self.words:
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is neither a word nor an argument: {_HOW}")
        self.arguments = tuple(_argument(piece) for piece in pieces[count:])
        self.names = frozenset(argument.name for argument in self.arguments)
        _check(self.arguments)
        self._rest = next((one for one in self.arguments if one.kind == "rest"), None)
        self._flags = {one.name.casefold(): one for one in self.arguments if one.kind == "flag"}
        self._named = {one.name.casefold(): one for one in self.arguments if one.kind in ("required", "optional")}
        self._positional = [one for one in self._named.values() if one.kind == "required" or self._rest is None]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read a YAML scalar; ValueError says what is wrong with it."""
        if not isinstance(value, str):
            raise ValueError("a usage line is text, such as: e2e <url> [branch=main]")
        return cls(value)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the written form."""
        return {"type": "string", "examples": ["e2e <url> [branch=main] [browser=chrome|firefox] [--headed]"]}

    def parse(self, text: str) -> dict[str, str | bool]:
        """Return the arguments in a command's raw text, as Slack sends it (not the unescaped `text` fact).

        A flag is True or False; an optional argument without a default is absent unless it is given. Raises
        UsageMismatch when the text begins with other words than this line, UsageError when it is wrong after them.
        """
        tokens, closed = _tokenize(text)
        begin = len(self.words)
        if [token.text.casefold() for token in tokens[:begin]] != [word.casefold() for word in self.words]:
            raise UsageMismatch(f"the text does not begin with: {' '.join(self.words)}")
        if not closed:
            raise self._error("a quote is opened but not closed")
        given = self._given(tokens[begin:])
        for argument in self.arguments:
            if argument.name in given:
                continue
            if argument.kind in ("required", "rest"):
                raise self._error(f"{argument.written} is missing")
            if argument.kind == "flag":
                given[argument.name] = False
            elif argument.default is not None:
                given[argument.name] = argument.default
        return given

    def help_line(self, command: str) -> str:
        """Return the line as a person types it: `/genesis e2e <url> [branch=main]`."""
        return f"{command} {self.source}".rstrip()

    def __repr__(self) -> str:
        """Show the source."""
        return f"Usage({self.source!r})"

    def _given(self, tokens: list[_Token]) -> dict[str, str | bool]:
        given: dict[str, str | bool] = {}
        bare: list[str] = []
        for at, token in enumerate(tokens):
            flag, argument = self._flag(token), self._argument(token)
            if flag is not None:
                self._put(given, flag, value=True)
            elif argument is not None:
                self._put(given, argument, value=self._value(token))
            elif self._rest is not None and len(bare) >= len(self._free(given)):
                given[self._rest.name] = " ".join(one.text for one in tokens[at:])
                break
            else:
                bare.append(token.text)
        # Only now is it known which arguments were named, and so which ones the bare words stand for.
        free = self._free(given)
        if len(bare) > len(free):
            raise self._error(f"{_shown(bare[len(free)])} is one too many")
        for argument, text in zip(free, bare, strict=False):
            self._put(given, argument, value=text)
        return given

    def _free(self, given: dict[str, str | bool]) -> list[Argument]:
        return [argument for argument in self._positional if argument.name not in given]

    def _flag(self, token: _Token) -> Argument | None:
        found = None if token.literal else _GIVEN_FLAG.fullmatch(token.text)
        if found is None:
            return None
        name = found[1].casefold().replace("-", "_")
        if name in self._named:
            known = self._named[name].name
            raise self._error(f"there is no --{known}; write {known}=value")
        if name not in self._flags:
            self._refuse_unknown(f"--{found[1]}", [f"--{flag}" for flag in self._flags])
            return None
        if found[2] is not None:
            raise self._error(f"--{found[1]} takes no value")
        return self._flags[name]

    def _argument(self, token: _Token) -> Argument | None:
        if token.name is None:
            return None
        argument = self._named.get(token.name.casefold())
        if argument is None:
            self._refuse_unknown(token.name, self._named)
        return argument

    def _refuse_unknown(self, name: str, known: Iterable[str]) -> None:
        """Refuse a name that this line does not have, unless it may be text of the rest."""
        suggestion = _suggestion(name.casefold(), known)
        if suggestion or self._rest is None:
            raise self._error(f"there is no {_shown(name)} here{suggestion}")

    def _value(self, token: _Token) -> str:
        if not token.value and not token.quoted:
            raise self._error(f"{token.name}= has no value")
        return token.value

    def _put(self, given: dict[str, str | bool], argument: Argument, *, value: str | bool) -> None:
        if argument.name in given:
            raise self._error(f"{argument.name} is given twice")
        if argument.choices and value not in argument.choices:
            suggestion = _suggestion(str(value), argument.choices)
            raise self._error(
                f"{argument.name} is {' or '.join(argument.choices)}, not {_shown(str(value))}{suggestion}"
            )
        given[argument.name] = value

    def _error(self, what: str) -> UsageError:
        return UsageError(f"{what}. Expected: {self.source or 'nothing after the command'}")


def _argument(piece: str) -> Argument:
    if found := _REQUIRED.fullmatch(piece):
        return Argument(name=found[1], kind="rest" if found[2] else "required", written=piece)
    if found := _FLAG.fullmatch(piece):
        return Argument(name=found[1].replace("-", "_"), kind="flag", written=piece)
    found = _OPTIONAL.fullmatch(piece)
    if found is None:
        raise ValueError(f"{piece!r} is not an argument, and words come first: {_HOW}")
    if found[2] is None:
        return Argument(name=found[1], kind="optional", written=piece)
    choices = tuple(found[2].split("|"))
    if "" in choices or len(set(choices)) < len(choices):
        raise ValueError(f"{piece!r} has an empty value or the same one twice; without a default write [{found[1]}]")
    return Argument(
        name=found[1], kind="optional", written=piece, default=choices[0], choices=choices if len(choices) > 1 else ()
    )


def _check(arguments: tuple[Argument, ...]) -> None:
    seen: set[str] = set()
    for argument in arguments:
        # People's capitals do not count, so they cannot tell two arguments apart.
        if argument.name.casefold() in seen:
            raise ValueError(f"{argument.written!r} has the name of another argument")
        seen.add(argument.name.casefold())
    kinds = [argument.kind for argument in arguments if argument.kind != "flag"]
    if "rest" in [argument.kind for argument in arguments[:-1]]:
        raise ValueError("<...> takes all the text there is, so it must be the last argument")
    if "rest" not in kinds and kinds != sorted(kinds, key="required optional".split().index):
        raise ValueError("<required> arguments come before [optional] ones, or nobody could leave those out")


def _tokenize(text: str) -> tuple[list[_Token], bool]:
    """Split into words at spaces outside quotes; False: the last quote is never closed.

    A quote only opens at the beginning of a word or of a value: the one in `don't` is an apostrophe.
    """
    tokens: list[_Token] = []
    at, closed = _skip_spaces(text, 0), True
    while at < len(text):
        named = _NAMED.match(text, at)
        name = named[1] if named else None
        begin = named.end() if named else at
        quote = next((quote for quote in _QUOTES if quote.match(text, begin)), None)
        value, at = "", begin
        if quote is not None:
            end = quote.search(text, begin + 1)
            closed = end is not None
            value, at = (text[begin + 1 : end.start()], end.end()) if end else (text[begin + 1 :], len(text))
        end_of_run = _RUN.match(text, at).end()  # type: ignore[union-attr]  # it matches the empty text, too
        value = _meant(value + text[at:end_of_run])
        tokens.append(_Token(f"{name}={value}" if name else value, name, value, quote is not None))
        at = _skip_spaces(text, end_of_run)
    return tokens, closed


def _skip_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _meant(typed: str) -> str:
    """Return what was typed before Slack turned people, channels and addresses into references and escaped the rest."""
    return plain(unescape(_REFERENCE.sub(lambda found: _referred(found[1]), typed)))


def _referred(reference: str) -> str:
    if reference[0] in "@#":
        return reference[1:]
    if reference[0] == "!":  # <!here>, <!subteam^S1|@qa>
        return reference[1:].rpartition("^")[2]
    return reference.removeprefix("mailto:").removeprefix("tel:")


def _suggestion(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given[:_LONGEST_SHOWN], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= _LONGEST_SHOWN else f"'{line[: _LONGEST_SHOWN - 1]}…'"
