"""Any sender, described by its settings: JSON and form bodies into events."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from bridge.authentication import Basic, Bearer, Header, Hmac, Nothing
from bridge.bodies import FORM, JSON, media_type, read_form, read_json
from bridge.contracts import Request, Source
from bridge.errors import EvaluationError, Malformed, UnsupportedMedia
from bridge.expressions import Text
from bridge.model import Event
from bridge.scheme import Scheme, without_credentials
from bridge.signing import Signing

_UNNAMED = "request"
_ONE_NAME = re.compile(r"""\$\{\{\s*\w+(?:\.[^\W\d]\w*|\['[^']*'\]|\["[^"]*"\])*\s*\}\}""")
# Such a header is not signed, so it is not taken as it comes.
_EVENT = re.compile(r"[ -~]{1,128}")
_OPEN = (
    "this source believes anybody who knows its URL: give it an `auth:` of hmac, bearer, basic or header, or, if that "
    "is meant, `allow_unauthenticated: true` beside `auth: none`"
)


class Generic(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generic"):
    """A sender described by its settings."""

    auth: Hmac | Bearer | Basic | Header | Nothing | Literal["none"]
    """How a request proves whom it comes from."""
    allow_unauthenticated: bool = False
    """Must be true for `auth: none`, and only for that."""
    event: Text | None = None
    """The event's name; by default what the preset's header says, else the body's `type` where it is text, else
    `request`."""
    dedupe: Text | None = None
    """The sender's id of the event; by default the header of the scheme's id, or `idempotency-key`."""

    def __post_init__(self) -> None:
        """Refuse a source that is open by oversight, or said to be open when it is not."""
        nothing = isinstance(self.auth, Nothing) or self.auth == "none"
        if nothing and not self.allow_unauthenticated:
            raise ValueError(_OPEN)
        if self.allow_unauthenticated and not nothing:
            raise ValueError("`allow_unauthenticated: true` is for `auth: none` only; leave it out")

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
        """Sign, or show the secret, as `auth:` says."""
        return self.proof().signing()

    def _place_of_event(self) -> tuple[str, ...]:
        """Return where the event's name stands, if it stands anywhere as it is: ("body", "type")."""
        if self.event is None:
            scheme = self._scheme()
            return ("body", "type") if scheme is None or scheme.event is None else ("headers", scheme.event)
        written = _ONE_NAME.fullmatch(self.event.source)
        return tuple(map(str, self.event.paths[0])) if written else ("",)

    @property
    def open(self) -> bool:
        """Whether anybody who knows the URL is believed."""
        return self.allow_unauthenticated

    def verify(self, request: Request) -> bool:
        """Say whether the request proves itself as `auth:` says."""
        return self.proof().holds(request)

    def proof(self) -> Hmac | Bearer | Basic | Header | Nothing:
        """Return how requests are proven, in its long form."""
        return Nothing() if self.auth == "none" else self.auth

    def parse(self, request: Request) -> Event:
        """Read one request.

        An `event:` that has no text for this request makes it Malformed, for no rule could be meant by it; a
        `dedupe:` that has none only means that its sender cannot repeat it.
        """
        names = {
            "body": _read_body(request),
            "headers": without_credentials(request.headers, *self._proofs()),
            "query": dict(request.query),
        }
        return Event(name=self._name(names), key=self._key(names), **names)

    def _scheme(self) -> Scheme | None:
        return self.auth.scheme() if isinstance(self.auth, Hmac) else None

    def _proofs(self) -> tuple[str, ...]:
        scheme = self._scheme()
        if scheme is not None:
            return (scheme.header,)
        return (self.auth.header.lower(),) if isinstance(self.auth, Header) else ()

    def _name(self, names: Mapping[str, Any]) -> str:
        if self.event is None:
            scheme = self._scheme()
            header = names["headers"].get(scheme.event) if scheme is not None and scheme.event is not None else None
            if header is not None:
                return _named(header)
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
        scheme, headers = self._scheme(), names["headers"]
        signed = headers.get(scheme.id) if scheme is not None and scheme.id is not None else None
        return signed or headers.get("idempotency-key") or None


def _named(header: str) -> str:
    if not _EVENT.fullmatch(header):
        raise Malformed("the header that names the event is no name")
    return header


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
