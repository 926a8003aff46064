"""CEL, as Tekton's filters and overlays are written, into our expressions; what has no equal is refused by name. Pure.

https://tekton.dev/docs/triggers/cel_expressions/ and https://github.com/google/cel-spec. A key that an event lacks is
an error in CEL, which `||` can make good; here it makes the whole condition false. So each side of an `||` asks first
whether its names are there, and what CEL could not have decided is not turned into true by a `!` around it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from bridge.importers.cel_tokens import Untranslatable, tokens, unquoted
from bridge.importers.writing import credential, literal, name

_CONSTANTS = {"true": "true", "false": "false", "null": "none"}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_METHODS = {
    "startsWith": ("startswith", 1),
    "endsWith": ("endswith", 1),
    "split": ("split", 1),
    "lowerAscii": ("lower", 0),
    "upperAscii": ("upper", 0),
    "trim": ("strip", 0),
}
"""CEL's name -> ours, and how many arguments it takes."""
_TELLING = ("startsWith", "endsWith", "matches", "contains")
"""Methods that say true or false."""
_MAX_DEPTH = 40
_MOST_DIGITS = 10


class Translated(NamedTuple):
    """An expression of ours, and the names it needs."""

    text: str
    needs: tuple[str, ...] = ()
    """Missing ones make it false as a whole."""
    asks: tuple[str, ...] = ()
    """Conditions without which it is false here and an error in CEL."""
    path: tuple[str | int, ...] = ()
    """Of a name: its steps."""
    literal: str | None = None
    """Of a string: what it is."""

    boolean: bool = False
    """Whether it is true or false and nothing else."""
    atom: bool = False
    """Whether its text may stand beside any operator as it is."""

    def alone(self) -> str:
        """Return the text in a form that may stand beside any operator."""
        whole = self.atom or self.path or self.literal is not None or self.text.isalnum()
        return self.text if whole else f"({self.text})"


def translate(source: str, extensions: Mapping[str, Translated] | None = None) -> Translated:
    """Translate one expression; `extensions` are the overlays made before it. Raises Untranslatable."""
    parser = _Parser(tokens(source), extensions or {})
    found = parser.choice(0)
    if parser.kind != "end":
        raise Untranslatable(f"{parser.shown()} after the end of the expression")
    return found


def conditions(source: str, extensions: Mapping[str, Translated] | None = None) -> list[str]:
    """Translate a filter; what is joined by `&&` becomes several lines."""
    parser = _Parser(tokens(source), extensions or {})
    parts = [parser.equality(0)]
    while parser.taken("&&"):
        parts.append(parser.equality(0))
    return [part.text for part in parts] if parser.kind == "end" else [translate(source, extensions).text]


class _Parser:
    """A recursive descent over CEL's grammar; each level translates as it reads."""

    def __init__(self, read: list[tuple[str, str]], extensions: Mapping[str, Translated]) -> None:
        self._tokens = read
        self._extensions = extensions
        self.kind, self.token = read[0]
        self._at = 0

    def _next(self) -> str:
        token = self.token
        self._at += 1
        self.kind, self.token = self._tokens[self._at]
        return token

    def shown(self) -> str:
        """Name what stands here; a text may be a secret."""
        return "a text" if self.kind == "string" else repr(self.token)

    def taken(self, sign: str) -> bool:
        """Go past a sign, if that is what stands here."""
        here = self.kind in ("sign", "word") and self.token == sign
        if here:
            self._next()
        return here

    def _expect(self, sign: str) -> None:
        if not self.taken(sign):
            raise Untranslatable(f"{self.shown()} where {sign!r} should be" if self.token else f"{sign!r} is missing")

    def choice(self, depth: int) -> Translated:
        """Read `a ? b : c`."""
        if depth > _MAX_DEPTH:
            raise Untranslatable("it is nested too deeply")
        condition = self.either(depth)
        if not self.taken("?"):
            return condition
        yes = self.either(depth)
        self._expect(":")
        no = self.choice(depth + 1)
        asked = _truth(condition)
        return _of(f"{yes.alone()} if {asked.alone()} else {no.alone()}", asked, yes, no)

    def either(self, depth: int) -> Translated:
        """Read `a || b`."""
        parts = [self.all(depth)]
        while self.taken("||"):
            parts.append(self.all(depth))
        if len(parts) == 1:
            return parts[0]
        sides = [_truth(part) for part in parts]
        asks = tuple(dict.fromkeys(ask for side in sides for ask in (*_defined(side), *side.asks)))
        return Translated(" or ".join(_guarded(side) for side in sides), asks=asks, boolean=True)

    def all(self, depth: int) -> Translated:
        """Read `a && b`."""
        parts = [self.equality(depth)]
        while self.taken("&&"):
            parts.append(self.equality(depth))
        return parts[0] if len(parts) == 1 else _joined(" and ".join(_truth(part).alone() for part in parts), *parts)

    def equality(self, depth: int) -> Translated:
        """Read `a == b` and the other comparisons."""
        left = self.sum(depth)
        while self.token in _COMPARISONS and self.kind != "string":
            sign = self._next()
            right = self.sum(depth)
            if any(side.path and credential(str(side.path[-1])) for side in (left, right)):
                raise Untranslatable("a comparison with a secret, which no rule may hold, has no equal here")
            left = _of(f"{left.alone()} {sign} {right.alone()}", left, right)._replace(boolean=True)
        return left

    def sum(self, depth: int) -> Translated:
        """Read `a + b`."""
        left = self.unary(depth)
        while self.taken("+"):
            right = self.unary(depth)
            left = _of(f"{left.alone()} + {right.alone()}", left, right)
        return left

    def unary(self, depth: int) -> Translated:
        """Read `!a`."""
        if self.taken("!"):
            inner = self.unary(depth + 1) if depth < _MAX_DEPTH else self.choice(depth + 1)
            if not inner.boolean:
                return _joined(f"{inner.alone()} is false", inner)
            return _joined(" and ".join([*inner.asks, f"not {inner.alone()}"]), inner)
        if self.taken("-"):
            if self.kind != "number":
                raise Untranslatable("a minus before anything but a number has no equal here")
            return Translated(f"-{self._next()}")
        return self._member(depth)

    def _member(self, depth: int) -> Translated:
        value = self._primary(depth)
        while True:
            if self.taken("."):
                word = self._next() if self.kind == "word" else ""
                value = self._method(value, word, depth) if self.taken("(") else _field(value, word)
            elif self.taken("["):
                index = self.choice(depth + 1)
                self._expect("]")
                value = _indexed(value, index)
            elif value.path in (("headers",), ("extensions",)):
                raise Untranslatable(f"`{value.text}` as a whole has no equal here")
            else:
                return value
            if value.path[:1] == ("extensions",):
                value = self._extension(str(value.path[1]))

    def _extension(self, key: str) -> Translated:
        if key not in self._extensions:
            raise Untranslatable(f"extensions.{key}, which no overlay before it makes")
        return self._extensions[key]

    def _primary(self, depth: int) -> Translated:
        if self.kind == "string":
            text = unquoted(self._next())
            return Translated(literal(text), literal=text)
        if self.kind == "number":
            return Translated(self._next())
        if self.taken("("):
            inner = self.choice(depth + 1)
            self._expect(")")
            return inner._replace(path=()) if inner.path else inner
        if self.taken("["):
            members = self._arguments(depth, "]")
            return _of(f"[{', '.join(member.text for member in members)}]", *members)._replace(atom=True)
        if self.kind != "word":
            raise Untranslatable(f"{self.shown()} where a value should be" if self.token else "it ends too early")
        return self._word(self._next(), depth)

    def _word(self, word: str, depth: int) -> Translated:
        if self.taken("("):
            return _function(word, self._arguments(depth, ")"))
        if word in _CONSTANTS:
            return Translated(_CONSTANTS[word], boolean=word != "null")
        if word in ("body", "extensions"):
            return Translated(word, (word,), path=(word,))
        if word == "header":
            return Translated("headers", ("headers",), path=("headers",))
        raise Untranslatable(f"the name `{word}` has no equal here")

    def _arguments(self, depth: int, end: str) -> list[Translated]:
        found: list[Translated] = []
        while not self.taken(end):
            if found:
                self._expect(",")
            found.append(self.choice(depth + 1))
        return found

    def _method(self, value: Translated, method: str, depth: int) -> Translated:
        arguments = self._arguments(depth, ")")
        if value.path == ("headers",):
            return _header(method, arguments)
        subject, given = value.alone(), [argument.text for argument in arguments]
        written = None
        if method in _METHODS and len(given) == _METHODS[method][1]:
            written = f"{subject}.{_METHODS[method][0]}({', '.join(given)})"
        elif method == "matches" and len(given) == 1 and arguments[0].literal is not None:
            written = f"{subject} is matching {given[0]}"
        elif method == "contains" and len(given) == 1:
            written = f"{arguments[0].alone()} in {subject}"
        elif method == "truncate" and len(given) == 1 and given[0].isdecimal():
            written = f"{subject}[:{given[0]}]"
        elif method == "size" and not given:
            written = f"{subject} | length"
        elif method == "replace" and len(given) == 2:  # noqa: PLR2004 - the old and the new
            written = f"{subject} | replace({', '.join(given)})"
        if written is None:
            raise Untranslatable(f"`.{method}()`, as it is used there, has no equal here")
        made = _of(written, value, *arguments)
        return made._replace(atom=method in _METHODS or method == "truncate", boolean=method in _TELLING)


def _of(text: str, *parts: Translated) -> Translated:
    """Make a value of others."""
    if any(part.asks for part in parts):
        raise Untranslatable("a condition within a value has no equal here")
    return Translated(text, tuple(dict.fromkeys(need for part in parts for need in part.needs)))


def _joined(text: str, *parts: Translated) -> Translated:
    """Make a condition of others."""
    truths = [_truth(part) for part in parts]
    needs = tuple(dict.fromkeys(need for part in truths for need in part.needs))
    asks = tuple(dict.fromkeys(ask for part in truths for ask in part.asks))
    return Translated(text, needs, asks, boolean=True)


def _truth(part: Translated) -> Translated:
    """Ask whether a value is true: CEL takes nothing else for that, Jinja anything that is not empty."""
    if part.boolean:
        return part
    return Translated(f"{part.alone()} is true", asks=(f"{part.alone()} is boolean",), boolean=True)


def _defined(part: Translated) -> list[str]:
    return [f"{need} is defined" for need in part.needs if "." in need or "[" in need]


def _guarded(part: Translated) -> str:
    defined = _defined(part)
    return f"({' and '.join([*defined, part.alone()])})" if defined else part.alone()


def _field(value: Translated, field: str) -> Translated:
    if not field:
        raise Untranslatable("a dot that no name follows")
    return _below(value, field)


def _indexed(value: Translated, index: Translated) -> Translated:
    step: str | int
    if index.literal is not None:
        step = index.literal
    elif index.text.isdecimal() and len(index.text) < _MOST_DIGITS:
        step = int(index.text)
    else:
        raise Untranslatable("an index that is computed has no equal here")
    if value.path and value.path[0] == "headers" and step == 0 and len(value.path) == 2:  # noqa: PLR2004 - the root and one
        return value  # there each header is a list, here it is its text
    return _below(value, step)


def _below(value: Translated, step: str | int) -> Translated:
    if not value.path:
        inside = f"[{step}]" if isinstance(step, int) else f"[{literal(step)}]"
        return _of(value.alone() + inside, value)._replace(atom=True)
    if value.path == ("headers",):
        return _of_header(str(step))
    path = (*value.path, step)
    return Translated(name(path), (name(path),), path=path)


def _header(method: str, arguments: list[Translated]) -> Translated:
    given = [argument.literal for argument in arguments]
    if method == "match" and len(given) == 2 and None not in given:  # noqa: PLR2004 - header and value
        header = _of_header(str(given[0]))
        return _of(f"{header.text} == {arguments[1].text}", header)._replace(boolean=True)
    if method == "canonical" and len(given) == 1 and given[0] is not None:
        return _of_header(given[0])
    raise Untranslatable(f"`header.{method}()` with these arguments has no equal here")


def _of_header(header: str) -> Translated:
    if credential(header):
        raise Untranslatable(f"the header {header} may hold a secret, which is the source's business and no rule's")
    path = ("headers", header.lower())
    return Translated(name(path), (name(path),), path=path)


def _function(word: str, arguments: list[Translated]) -> Translated:
    if word == "has" and len(arguments) == 1 and len(arguments[0].path) > 1:
        above = arguments[0].path[:-1]
        asks = (f"{name(above)} is mapping",) if len(above) > 1 else ()
        return Translated(f"{arguments[0].text} is defined", asks=asks, boolean=True)
    if word == "size" and len(arguments) == 1:
        return _of(f"{arguments[0].alone()} | length", arguments[0])
    if word == "string" and len(arguments) == 1:
        return _of(f"[{arguments[0].text}] | join", arguments[0])
    raise Untranslatable(f"`{word}()` has no equal here")
