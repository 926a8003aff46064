"""Deliver a file as its source's sender would, and the shell lines with which anybody can do it again."""

import shlex
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from bridge.captured import is_captured
from bridge.contracts import Request, Source
from bridge.outbound import Answer, Outbound
from bridge.scheme import without_credentials

_TIMEOUT_SECONDS = 30.0
_MOST_ANSWER_BYTES = 5_000_000
_HEADERS_END = r"1,/^.\{0,1\}$/d"
"""For sed: everything up to the first empty line, whose line end may be of either kind."""


class Parcel(Struct, frozen=True, kw_only=True):
    """What is sent, and from which file it was read."""

    source: Source
    request: Request
    file: str
    """As it was named; empty: it was not read from a file that another command could read."""
    data: bytes

    def headers(self) -> dict[str, str]:
        """Return the headers that are sent as they are: no proof, for a repeat has its own."""
        proof = self.source.signing().proof
        return {name: value for name, value in without_credentials(self.request.headers).items() if name not in proof}

    def curl(self, url: str) -> str:
        """Write the line that sends it again, signed by the shell with the secret from where it is."""
        first, proof = self.source.signing().shell()
        shown = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers().items()]
        shown += [f'-H "{header}"' for header in proof]
        send = " ".join(['printf %s "$body" | curl -sS', *shown, "--data-binary @-", shlex.quote(self.url(url))])
        return "; ".join([self._body(), *first, send])

    def _body(self) -> str:
        file = shlex.quote(self.file)
        if self.file and self.data.strip() == self.request.body:
            return f"body=$(cat {file})"
        if self.file and is_captured(self.data):
            return f"body=$(sed '{_HEADERS_END}' {file})"
        return f"body={shlex.quote(self.request.body.decode(errors='replace'))}"

    def url(self, url: str) -> str:
        """Return where it is sent."""
        return f"{url}?{urlencode(self.request.query)}" if self.request.query else url


def hook_url(to: str, source: str) -> str:
    """Return a source's URL at a bridge; an address that is one already stays."""
    return to if "/hooks/" in urlsplit(to).path else f"{to.rstrip('/')}/hooks/{source}"


async def send(parcel: Parcel, url: str, environ: Mapping[str, str], now: int) -> Answer:
    """Sign and deliver; raises CannotSign and AttemptError."""
    proof = parcel.source.signing().headers(parcel.request.body, environ, now)
    async with Outbound() as outbound:
        return await outbound.request(
            "POST",
            parcel.url(url),
            headers=parcel.headers() | proof,
            content=parcel.request.body,
            timeout_seconds=_TIMEOUT_SECONDS,
            max_bytes=_MOST_ANSWER_BYTES,
        )
