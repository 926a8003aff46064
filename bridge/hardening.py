"""What every answer's head says to browsers, unless it says otherwise: it is what its type says, keep it nowhere."""

from litestar.types import Message, Scope

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


async def harden(message: Message, _: Scope) -> None:
    """Add what is missing to the head of an answer."""
    if message["type"] == "http.response.start":
        given = list(message["headers"])
        names = {name for name, _ in given}
        message["headers"] = given + [header for header in _HEADERS if header[0] not in names]
