"""Slack usage lines (`e2e <url> [branch=main]`): what a command takes, read from what people really type. Pure.

A line is literal words, then `<required>`, `<name=a|b>`, `[name]`, `[name=default]`, `[name=a|b]` (the first is the
default), `[--flag]` and, as the last, `<rest...>` or `[rest...]`. Arguments are given in this order or as `name=value`
in any; beside a rest the optional ones only by name, in front of it, for everything from its first word on is its text.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal, Self

from msgspec import Struct

from bridge.errors import BridgeError
from bridge.typed import Word, free_text, words

_HOW = (
    "write literal words, then <required>, <name=a|b>, [name], [name=default], [name=a|b], [--flag] and, as the last, "
    "<rest...> or [rest...]"
)
_PIECE = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\S+")
_WORD = re.compile(r"\w[\w.-]*")
_REST = re.compile(r"[<\[]([A-Za-z]\w*)\.\.\.[>\]]", re.ASCII)
_REQUIRED = re.compile(r"<([A-Za-z]\w*)(?:=([^<>]*))?>", re.ASCII)
_OPTIONAL = re.compile(r"\[([A-Za-z]\w*)(?:=([^\[\]]*))?\]", re.ASCII)
_FLAG = re.compile(r"\[--([A-Za-z][\w-]*)\]", re.ASCII)
# macOS and phones turn the two hyphens of `--flag` into one dash.
_GIVEN_FLAG = re.compile("(?:--|[\u2013\u2014])([A-Za-z][A-Za-z0-9_-]*)")
_ON, _OFF = frozenset("true yes on 1".split()), frozenset("false no off 0".split())
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
        if not self.takes(text):
            raise UsageMismatch(f"the text does not begin with: {' '.join(self.words)}")
        given = self._given(text, islice(words(text), len(self.words), None))
        for argument in self.arguments:
            if argument.name in given:
                continue
            if argument.written.startswith("<"):
                raise self._error(f"{argument.written} is missing")
            if argument.kind == "flag":
                given[argument.name] = False
            elif argument.default is not None:
                given[argument.name] = argument.default
        return given

    def takes(self, text: str) -> bool:
        """Say whether a command's raw text is meant for this line, that is begins with its words."""
        return [word.casefold() for word in self.words] == _begin(text, len(self.words))

    def help_line(self, command: str) -> str:
        """Return the line as a person types it: `/genesis e2e <url> [branch=main]`."""
        return f"{command} {self.source}".rstrip()

    def __repr__(self) -> str:
        """Show the source."""
        return f"Usage({self.source!r})"

    def _given(self, text: str, typed: Iterator[Word]) -> dict[str, str | bool]:
        given: dict[str, str | bool] = {}
        bare: list[str] = []
        for word in typed:
            option = self._option(word)
            if option is None and self._rest is not None and len(bare) >= len(self._free(given)):
                given[self._rest.name] = free_text(text[word.start :])
                break
            if not word.closed:
                raise self._error("a quote is opened but not closed")
            if option is not None:
                self._put(given, option[0], value=option[1])
            elif word.text.startswith("=") and not word.quoted:
                raise self._error("there are spaces around a `=`; write name=value")
            else:
                bare.append(word.text)
        # Only now is it known which arguments were named, and so which ones the bare words stand for.
        free = self._free(given)
        if len(bare) > len(free):
            raise self._error(f"{_shown(bare[len(free)])} is one too many; a value of several words goes into quotes")
        for argument, value in zip(free, bare, strict=False):
            self._put(given, argument, value=value)
        return given

    def _free(self, given: dict[str, str | bool]) -> list[Argument]:
        return [argument for argument in self._positional if argument.name not in given]

    def _option(self, word: Word) -> tuple[Argument, str | bool] | None:
        """Return the argument that a word names, and the value it gives it; None for a bare word."""
        if word.name is not None:
            name = word.name.casefold()
            if name in self._named:
                return self._named[name], self._value(word)
            if name in self._flags:
                return self._flags[name], self._switch(word)
            self._refuse_unknown(word.name, [*self._named, *self._flags])
            return None
        found = None if word.quoted else _GIVEN_FLAG.fullmatch(word.text)
        return None if found is None else self._flag(found[1])

    def _flag(self, given: str) -> tuple[Argument, bool] | None:
        name = given.casefold().replace("-", "_")
        if name in self._flags:
            return self._flags[name], True
        if name.startswith("no_") and name[3:] in self._flags:
            return self._flags[name[3:]], False
        if name in self._named:
            known = self._named[name].name
            raise self._error(f"--{known} has no value; write {known}=value")
        self._refuse_unknown(f"--{given}", [f"--{flag}" for flag in self._flags])
        return None

    def _refuse_unknown(self, name: str, known: Iterable[str]) -> None:
        """Refuse a name that this line does not have, unless it may be text of the rest."""
        suggestion = _suggestion(name.casefold(), known)
        if suggestion or self._rest is None:
            raise self._error(f"there is no {_shown(name)} here{suggestion}")

    def _value(self, word: Word) -> str:
        if not word.value and not word.quoted:
            raise self._error(f"{word.name}= has no value")
        return word.value

    def _switch(self, word: Word) -> bool:
        said = word.value.casefold()
        if said not in _ON | _OFF:
            raise self._error(f"{word.name} is true or false, not {_shown(word.value)}")
        return said in _ON

    def _put(self, given: dict[str, str | bool], argument: Argument, *, value: str | bool) -> None:
        if argument.name in given:
            raise self._error(f"{argument.name} is given twice")
        given[argument.name] = self._chosen(argument, value) if argument.choices and isinstance(value, str) else value

    def _chosen(self, argument: Argument, value: str) -> str:
        """Return one of the choices as the line writes it: a phone's capital does not count."""
        known = {choice.casefold(): choice for choice in argument.choices} | {
            choice: choice for choice in argument.choices
        }
        found = known.get(value) or known.get(value.casefold())
        if found is None:
            suggestion = _suggestion(value, argument.choices)
            raise self._error(f"{argument.name} is {' or '.join(argument.choices)}, not {_shown(value)}{suggestion}")
        return found

    def _error(self, what: str) -> UsageError:
        return UsageError(f"{sentence(what)} Expected: {self.source or 'nothing after the command'}")


def _argument(piece: str) -> Argument:
    if found := _REST.fullmatch(piece):
        return Argument(name=found[1], kind="rest", written=piece)
    if found := _FLAG.fullmatch(piece):
        return Argument(name=found[1].replace("-", "_"), kind="flag", written=piece)
    required = _REQUIRED.fullmatch(piece)
    found = required or _OPTIONAL.fullmatch(piece)
    if found is None:
        raise ValueError(f"{piece!r} is not an argument, and words come first: {_HOW}")
    kind: Literal["required", "optional"] = "required" if required else "optional"
    if found[2] is None:
        return Argument(name=found[1], kind=kind, written=piece)
    choices = tuple(found[2].split("|"))
    if "" in choices or len(set(choices)) < len(choices):
        raise ValueError(f"{piece!r} has an empty value or the same one twice; without a default write [{found[1]}]")
    if required and len(choices) == 1:
        raise ValueError(f"{piece!r} has a default, so it is not required: write [{found[1]}={found[2]}]")
    return Argument(
        name=found[1],
        kind=kind,
        written=piece,
        default=None if required else choices[0],
        choices=choices if len(choices) > 1 else (),
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
        raise ValueError("a rest takes all the text there is, so it must be the last argument")
    if "rest" not in kinds and kinds != sorted(kinds, key="required optional".split().index):
        raise ValueError("<required> arguments come before [optional] ones, or nobody could leave those out")


def sentence(words: str) -> str:
    """End what is no question with a full stop."""
    return words if words.endswith("?") else f"{words}."


def other_words(lines: Iterable[Usage], text: str) -> str:
    """Say what a command may begin with, when what was typed is meant for none of the lines."""
    known = sorted({" ".join(line.words) for line in lines})
    typed = {count: " ".join(_begin(text, count)) for count in {len(words.split()) for words in known}}
    near = (_suggestion(typed[len(words.split())], [words]) for words in known)
    found = next((suggestion for suggestion in near if suggestion), f"; there is: {', '.join(known)}")
    return f"there is no {_shown(' '.join(_begin(text, 1)))} here{found}"


def _begin(text: str, count: int) -> list[str]:
    return [word.text.casefold() for word in islice(words(text), count)]


def _suggestion(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given[:_LONGEST_SHOWN], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= _LONGEST_SHOWN else f"'{line[: _LONGEST_SHOWN - 1]}…'"
