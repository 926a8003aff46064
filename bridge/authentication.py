"""How a generic source's senders prove themselves; each way is its settings, and says how to sign as it verifies.

Which secret was shown last, and when, is a metric: so one sees when an old one may be taken away.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

from msgspec import Meta, Struct

from bridge import metrics
from bridge.contracts import Request
from bridge.duration import Duration
from bridge.scheme import PRESETS, Algorithm, Encoding, KeyFormat, Scheme
from bridge.secret import Secret
from bridge.signatures import Secrets, check_keys, is_key, key_bytes, matching, verify
from bridge.signing import Signing

_BEARER = re.compile("bearer +", re.IGNORECASE)
_BASIC = re.compile("basic +", re.IGNORECASE)
_ID = "idempotency-key"
"""Where a sender that does not sign puts its own id of an event."""
_LONGEST_TOLERANCE = Duration(days=1)

HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$", description="the name of a header")]


def signed(scheme: Scheme, request: Request, secrets: Sequence[Secret]) -> bool:
    """Say whether one of the secrets signed the request, or is the token it shows; never raises."""
    keys_ = [_key(secret, scheme) for secret in secrets]
    place = verify(scheme, request.headers, request.body, keys_, request.now)
    if place is not None:
        return _used(secrets[place], request)
    tokens = [] if scheme.token is None else [secret for secret in secrets if not is_key(secret, scheme)]
    return bool(tokens) and _shown(request.headers.get(str(scheme.token)), tokens, request)


def refuse_weak(scheme: Scheme, secrets: Sequence[Secret]) -> None:
    """Raise ValueError for a secret that is no key of the scheme, or a short one; unread ones are passed over."""
    with suppress(LookupError):  # `check` may run where no secret can be read
        signing = [secret for secret in secrets if is_key(secret, scheme)]
        check_keys(signing, scheme.key_format)
        check_keys([secret for secret in secrets if secret not in signing])


class Hmac(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="hmac"):
    """A signature over the body: one of the known schemes, or one described here."""

    secrets: Secrets
    """The keys that may have signed; any may match, so that one can be changed without a gap."""
    preset: Literal["standard-webhooks", "svix", "github", "gitea", "stripe", "shopify", "slack", "gitlab"] | None = (
        None
    )
    """A known scheme, instead of the fields below."""
    header: HeaderName | None = None
    """The header that carries the signature."""
    pattern: str | None = None
    """How it is written there: `{signature}` (the default), `sha256={signature}`, `t={timestamp},v1={signature}`."""
    separator: str | None = None
    """What divides several signatures, or a signature and its time, in the header."""
    algorithm: Algorithm | None = None
    """The hash, by default sha256."""
    encoding: Encoding | None = None
    """How the signature is written, by default hex."""
    signed: str | None = None
    """What is signed: `{body}` (the default), or text with `{body}`, `{timestamp}` and `{id}` in it."""
    timestamp: HeaderName | None = None
    """The header of the signed time, in Unix seconds."""
    tolerance: Duration | None = None
    """How far that time may be from now, either way; 300s unless said otherwise."""
    id: HeaderName | None = None
    """The header of the message's id, by which repeats are known."""
    secret_format: KeyFormat | None = None
    """Whether the secret is the key itself (`utf8`, the default), its `base64`, or that after `whsec_`."""

    def __post_init__(self) -> None:
        """Refuse half a description, two at once, and secrets that are no keys."""
        own = [
            name
            for name in self.__struct_fields__
            if name not in ("secrets", "preset") and getattr(self, name) is not None
        ]
        if self.preset is not None and own:
            raise ValueError(f"the preset {self.preset!r} says it all: leave out {', '.join(own)}")
        if self.preset is None and self.header is None:
            raise ValueError(
                f"say how requests are signed: `preset:` with one of {', '.join(PRESETS)}, "
                "or `header:` with the signature"
            )
        if self.tolerance is not None and (self.tolerance > _LONGEST_TOLERANCE or not self.scheme().timed):
            raise ValueError("`tolerance` is how far a signed `timestamp` may be from now, 1d at most")
        problem = self.scheme().problem()
        if problem is not None:
            raise ValueError(problem)
        refuse_weak(self.scheme(), self.secrets)

    def scheme(self) -> Scheme:
        """Return the signature scheme this describes."""
        if self.preset is not None:
            return PRESETS[self.preset]
        return Scheme(
            header=(self.header or "").lower(),
            pattern=self.pattern or "{signature}",
            separator=self.separator or "",
            algorithm=self.algorithm or "sha256",
            encoding=self.encoding or "hex",
            signed=self.signed or "{body}",
            timestamp=self.timestamp and self.timestamp.lower(),
            tolerance_seconds=300 if self.tolerance is None else self.tolerance.total_seconds(),
            id=self.id and self.id.lower(),
            key_format=self.secret_format or "utf8",
        )

    def holds(self, request: Request) -> bool:
        """Say whether the request is signed with one of the secrets; never raises."""
        return signed(self.scheme(), request, self.secrets)

    def signing(self) -> Signing:
        """Sign as the scheme says."""
        return Signing(secrets=self.secrets, scheme=self.scheme())


class Bearer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"):
    """`Authorization: Bearer <secret>`; it proves who sends, not what."""

    secrets: Secrets
    """The tokens that may be shown; any may match."""

    def __post_init__(self) -> None:
        """Refuse tokens that can be guessed."""
        _refuse_short(self.secrets)

    def holds(self, request: Request) -> bool:
        """Say whether the request shows one of the secrets; never raises."""
        header = request.headers.get("authorization", "")
        scheme = _BEARER.match(header)
        return _shown(header[scheme.end() :] if scheme else None, self.secrets, request)

    def signing(self) -> Signing:
        """Show the first secret."""
        return Signing(secrets=self.secrets, prefix="Bearer ", id_header=_ID)


class Basic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="basic"):
    """`Authorization: Basic <username:secret in base64>`; it proves who sends, not what."""

    username: Annotated[str, Meta(pattern="^[^:]+$", description="a name without a colon, which would end it")]
    """The name that is shown with the password."""
    secrets: Secrets
    """Passwords; these may have colons."""

    def __post_init__(self) -> None:
        """Refuse passwords that can be guessed."""
        _refuse_short(self.secrets)

    def holds(self, request: Request) -> bool:
        """Say whether the request shows the name with one of the passwords; never raises."""
        header = request.headers.get("authorization", "")
        scheme = _BASIC.match(header)
        try:
            shown = base64.b64decode(header[scheme.end() :], validate=True) if scheme else b""
        except (ValueError, binascii.Error):
            return False
        # The two are compared as one, so that a wrong name takes as long as a wrong password.
        expected = [self._pair(secret) if secret.reveal() else b"" for secret in self.secrets]
        place = matching(expected, [shown])
        return place is not None and _used(self.secrets[place], request)

    def signing(self) -> Signing:
        """Show the name with the first password."""
        return Signing(secrets=self.secrets, username=self.username, id_header=_ID)

    def _pair(self, secret: Secret) -> bytes:
        return self.username.encode() + b":" + secret.reveal()


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="header"):
    """A header that carries a secret as it is, such as `X-Api-Key`; it proves who sends, not what."""

    header: HeaderName
    """The header that carries it."""
    secrets: Secrets
    """The tokens that may be shown; any may match."""

    def __post_init__(self) -> None:
        """Refuse tokens that can be guessed."""
        _refuse_short(self.secrets)

    def holds(self, request: Request) -> bool:
        """Say whether the request shows one of the secrets; never raises."""
        return _shown(request.headers.get(self.header.lower()), self.secrets, request)

    def signing(self) -> Signing:
        """Show the first secret."""
        return Signing(secrets=self.secrets, header=self.header.lower(), id_header=_ID)


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    """No proof at all: whoever knows the URL is believed. The source has to say `allow_unauthenticated: true`."""

    def holds(self, request: Request) -> bool:  # noqa: ARG002 - as the others'
        """Believe anybody."""
        return True

    def signing(self) -> Signing:
        """Prove nothing."""
        return Signing(secrets=[], id_header=_ID)


def _key(secret: Secret, scheme: Scheme) -> bytes:
    """Return the key; empty, which opens nothing, when the secret is a token, or was made unusable since the start."""
    try:
        return key_bytes(secret.reveal(), scheme.key_format) if is_key(secret, scheme) else b""
    except ValueError:
        return b""


def _refuse_short(secrets: Sequence[Secret]) -> None:
    with suppress(LookupError):  # `check` may run where no secret can be read
        check_keys(secrets)


def _shown(value: str | None, secrets: Sequence[Secret], request: Request) -> bool:
    # Latin-1 gives back the bytes that were sent; what is not Latin-1 was not. No header is an empty secret, and none.
    shown = b"" if value is None else value.encode("latin-1", "replace")
    place = matching([secret.reveal() for secret in secrets], [shown])
    return place is not None and _used(secrets[place], request)


def _used(secret: Secret, request: Request) -> Literal[True]:
    metrics.SECRET_LAST_USED.labels(secret.reference).set(request.now)
    return True
