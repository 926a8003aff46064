"""Any sender that signs with HMAC or shows a bearer token: JSON and form bodies into events."""

import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from bridge.bodies import FORM, JSON, media_type, read_form, read_json
from bridge.contracts import Request, Source
from bridge.errors import EvaluationError, Malformed, UnsupportedMedia
from bridge.expressions import Text
from bridge.model import Event
from bridge.signatures import (
    PRESETS,
    Algorithm,
    Encoding,
    Place,
    Scheme,
    Secrets,
    keys,
    verify,
    without_credentials,
)
from bridge.signing import Signing

_UNNAMED = "request"
_ONE_NAME = re.compile(r"""\$\{\{\s*\w+(?:\.[^\W\d]\w*|\['[^']*'\]|\["[^"]*"\])*\s*\}\}""")
_BEARER = re.compile("bearer +", re.IGNORECASE)


class Hmac(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="hmac"):
    """A signature over the body: one of the known schemes, or a header described here."""

    secrets: Secrets
    """The keys that may have signed; any may match, so that one can be changed without a gap."""
    preset: Literal["standard-webhooks"] | None = None
    """A known scheme, instead of the fields below."""
    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    """The header that carries the signature of the raw body."""
    prefix: str | None = None
    """What stands before the signature in it, such as `sha256=`."""
    algorithm: Algorithm | None = None
    """The hash, by default sha256."""
    encoding: Encoding | None = None
    """How the signature is written, by default hex."""

    def __post_init__(self) -> None:
        """Refuse half a description, two at once, and secrets that are no keys."""
        own = [name for name in ("header", "prefix", "algorithm", "encoding") if getattr(self, name) is not None]
        if self.preset is not None and own:
            raise ValueError(f"the preset {self.preset!r} says it all: leave out {', '.join(own)}")
        if self.preset is None and self.header is None:
            raise ValueError(
                "say how requests are signed: `preset: standard-webhooks`, or `header:` with the signature"
            )
        with suppress(LookupError):  # `check` may run where no secret can be read
            keys(self.secrets, self.scheme().key_format)

    def scheme(self) -> Scheme:
        """Return the signature scheme this describes."""
        if self.preset is not None:
            return PRESETS[self.preset]
        place = Place(header=(self.header or "").lower(), prefix=self.prefix or "")
        return Scheme(signature=place, algorithm=self.algorithm or "sha256", encoding=self.encoding or "hex")

    def signing(self) -> Signing:
        """Sign as the scheme says."""
        return Signing(secrets=self.secrets, scheme=self.scheme())

    def holds(self, request: Request) -> bool:
        """Say whether the request is signed with one of the secrets; never raises."""
        scheme = self.scheme()
        return verify(scheme, request.headers, request.body, keys(self.secrets, scheme.key_format), request.now)


class Bearer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"):
    """`Authorization: Bearer <secret>`; it proves who sends, not what."""

    secrets: Secrets
    """The tokens that may be shown; any may match."""

    def signing(self) -> Signing:
        """Show the first secret."""
        return Signing(secrets=self.secrets, header="authorization", prefix="Bearer ")

    def holds(self, request: Request) -> bool:
        """Say whether the request shows one of the secrets; never raises, takes equally long for any of them."""
        header = request.headers.get("authorization", "")
        scheme = _BEARER.match(header)
        # Latin-1 gives back the bytes that were sent; what is not Latin-1 was not.
        shown = header[scheme.end() :].encode("latin-1", "replace") if scheme else b""
        matches = False
        # No header is as good as an empty secret, so an empty one is as good as none.
        for secret in filter(None, keys(self.secrets)):
            matches |= hmac.compare_digest(secret, shown)
        return matches


class Generic(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generic"):
    """A sender described by its settings."""

    auth: Hmac | Bearer
    """How a request proves whom it comes from."""
    event: Text | None = None
    """The event's name; by default the body's `type` where it is text, else `request`."""
    dedupe: Text | None = None
    """The sender's id of the event; by default the signed `webhook-id`, or the header `idempotency-key`."""

    def texts(self) -> dict[str, Text]:
        """Return `event:` and `dedupe:`; both may use body, headers and query."""
        return {name: text for name, text in (("event", self.event), ("dedupe", self.dedupe)) if text is not None}

    def smallest(self, event: str) -> dict[str, Any]:
        """Return an object with what `event:` reads from the body."""
        root, *steps = self._place_of_event()
        body: Any = event
        for step in reversed(steps):
            body = {step: body}
        return body if event and root == "body" else {}

    def packed(self, event: str, body: Any) -> Request:
        """Return a request with the body as JSON, and with what `event:` reads from headers or query."""
        root, *steps = self._place_of_event()
        named = {steps[0]: event} if event and len(steps) == 1 else {}
        return Request(
            headers={"content-type": JSON} | (named if root == "headers" else {}),
            query=named if root == "query" else {},
            body=msgspec.json.encode(body),
            now=0,
        )

    def signing(self) -> Signing:
        """Sign, or show the token, as `auth:` says."""
        return self.auth.signing()

    def _place_of_event(self) -> tuple[str, ...]:
        """Return where the event's name stands, if it stands anywhere as it is: ("body", "type")."""
        if self.event is None:
            return ("body", "type")
        written = _ONE_NAME.fullmatch(self.event.source)
        return tuple(map(str, self.event.paths[0])) if written else ("",)

    def verify(self, request: Request) -> bool:
        """Say whether the request is signed, or shows the token, as `auth:` says."""
        return self.auth.holds(request)

    def parse(self, request: Request) -> Event:
        """Read one request.

        An `event:` that has no text for this request makes it Malformed, for no rule could be meant by it; a
        `dedupe:` that has none only means that its sender cannot repeat it.
        """
        names = {
            "body": _read_body(request),
            "headers": without_credentials(request.headers, *self._signature_headers()),
            "query": dict(request.query),
        }
        return Event(name=self._name(names), key=self._key(names), **names)

    def _signature_headers(self) -> tuple[str, ...]:
        return (self.auth.scheme().signature.header,) if isinstance(self.auth, Hmac) else ()

    def _name(self, names: Mapping[str, Any]) -> str:
        if self.event is None:
            named = names["body"].get("type") if isinstance(names["body"], dict) else None
            return named if isinstance(named, str) and named else _UNNAMED
        try:
            name = self.event.render(names)
        except EvaluationError as error:
            raise Malformed(f"the event's name, {self.event.source}, cannot be told: {error}") from None
        if not name:
            raise Malformed(f"the event's name, {self.event.source}, is empty")
        return name

    def _key(self, names: Mapping[str, Any]) -> str | None:
        if self.dedupe is not None:
            try:
                return self.dedupe.render(names) or None
            except EvaluationError:
                return None
        identifier = self.auth.scheme().id if isinstance(self.auth, Hmac) else None
        return names["headers"].get(identifier or "idempotency-key") or None


def _read_body(request: Request) -> Any:
    media = media_type(request.headers)
    if media == FORM:
        return read_form(request.body)
    if media not in ("", JSON) and not media.endswith("+json"):
        raise UnsupportedMedia(f"this source reads {JSON} and {FORM}; set the content type to either")
    body = read_json(request.body)
    if not isinstance(body, (dict, list)):
        raise Malformed("the body is JSON, but neither an object nor a list")
    return body
