"""'Did you mean': the nearest of the names there are, for messages about a name there is not. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice a mistyped name most likely stands for; None when nothing is near."""
    folded = {choice.lower(): choice for choice in sorted(choices, reverse=True)}
    found = get_close_matches(name.lower(), folded, n=1)
    return folded[found[0]] if found else None


def unknown(what: str, name: str, choices: Iterable[str]) -> str:
    """Word 'unknown <what> <name>' with the nearest choice, or with all of them where nothing is near."""
    there = sorted(choices)
    close = nearest(name, there)
    if close is not None:
        hint = f"did you mean {close!r}?"
    elif there:
        hint = f"there are: {', '.join(there)}"
    else:
        hint = "there are none"
    return f"unknown {what} {name[:80]!r}: {hint}"
