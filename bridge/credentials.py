"""What in an event is a credential, by its name or by being marked, and how it is shown: not at all. Pure."""

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, NoReturn

SHOWN = "(secret)"

_WORDS = frozenset(
    "apikey assertion authorization cookie credential credentials jwt passphrase passwd password secret session "
    "sid sig signature token tokens".split()
)
_PAIRS = frozenset({"apikey", "authkey", "privatekey", "responseurl", "responseurls"})
_CALLABLE = frozenset({("callback", "url"), ("callback", "uri"), ("webhook", "url"), ("hook", "url")})
_LONGEST_REMEMBERED = 64
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_USER = re.compile(r"(?<=://)[^/?#\s@]*@")
_PARAMETER = re.compile(r"(?<=[?&;])([^=&;#\s]{1,100})=[^&;#\s'\"]+")


def is_credential(name: str) -> bool:
    """Say whether what goes by this name is one: `X-Gitlab-Token`, `api_key`, `accessToken`, `response_url`."""
    # Asked of every header of every delivery, mostly the same ones; long ones are not worth remembering.
    return _judged(name) if len(name) <= _LONGEST_REMEMBERED else _judged.__wrapped__(name)


@lru_cache(maxsize=1024)
def _judged(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    return not _WORDS.isdisjoint(words) or any(first + second in _PAIRS for first, second in pairwise(words))


def is_hidden(name: str) -> bool:
    """Say whether a value of this name is kept out of records: credentials, and URLs that whoever knows may call."""
    words = [word.lower() for word in _WORD.findall(name)]
    return is_credential(name) or any(pair in _CALLABLE for pair in pairwise(words))


def redacted(text: str) -> str:
    """Return a text with the user names and credentials of the URLs in it hidden, for showing."""
    if "://" not in text:
        return text
    text = _USER.sub(f"{SHOWN}@", text)
    return _PARAMETER.sub(lambda found: f"{found[1]}={SHOWN}" if is_credential(found[1]) else found[0], text)


class Concealed(str):
    """A credential among the values of an event: rules may compare it; whatever writes it out writes `(secret)`.

    msgspec refuses to encode it, so it cannot get into a record or an answer by an oversight.
    """

    __slots__ = ()

    def reveal(self) -> str:
        """Return the value."""
        return str.__str__(self)

    def __str__(self) -> str:
        """Show nothing."""
        return SHOWN

    def __repr__(self) -> str:
        """Show nothing."""
        return SHOWN

    def __format__(self, _: str) -> str:
        """Show nothing."""
        return SHOWN

    def __reduce_ex__(self, _: Any) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a credential is not written anywhere")


def shown(value: Any) -> Any:
    """Return a value as records and people see it: concealed itself, or the values of a mapping that are."""
    if isinstance(value, Concealed):
        return SHOWN
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict) and any(isinstance(inner, Concealed) for inner in value.values()):
        return {name: SHOWN if isinstance(inner, Concealed) else inner for name, inner in value.items()}
    return value
