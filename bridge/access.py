"""Who asks: a token's identity, and how often it and the guesses from one address are listened to.

Counted in this process's memory, so that a flood costs nobody a round trip: n processes let n times as many through.
"""

import hmac
import math
import time
from collections.abc import Sequence

import structlog
from msgspec import Struct

from bridge import proxies
from bridge.addresses import Network
from bridge.errors import TooMany
from bridge.rate import Keeper, Rate
from bridge.settings import API_RATE

WRONG_TOKENS = Rate.decode("20/m")
"""Wrong tokens from one address, on API and page together; then none from there is looked at for a while."""

log = structlog.get_logger()


class Identity(Struct, frozen=True):
    """Whoever carries one of the tokens."""

    name: str
    """Such as `api token 2`: the setting and the place in it, for a token itself is never shown."""
    operate: bool


class Access:
    """The tokens there are, and how often they may be used."""

    def __init__(
        self,
        api_tokens: Sequence[bytes] = (),
        read_tokens: Sequence[bytes] = (),
        *,
        rate: Rate = API_RATE,
        trusted_proxies: tuple[Network, ...] = (),
    ) -> None:
        """Take the tokens that may operate and those that may only look."""
        self._api_tokens, self._read_tokens = api_tokens, read_tokens
        self._uses = Keeper(rate)
        self._rate = rate
        self._guesses = Keeper(WRONG_TOKENS)
        self._trusted = trusted_proxies

    @property
    def _tokens(self) -> list[tuple[bytes, Identity]]:
        # Asked for each time, for they may change in their file.
        return [
            *((token, Identity(f"api token {at}", operate=True)) for at, token in enumerate(self._api_tokens, 1)),
            *((token, Identity(f"read token {at}", operate=False)) for at, token in enumerate(self._read_tokens, 1)),
        ]

    @property
    def closed(self) -> bool:
        """Whether there is no token at all."""
        return not self._tokens

    def enter(self, given: bytes, peer: str | None, forwarded: str) -> Identity | None:
        """Return whose token is given; None, and counted against the address, for nobody's. Raises TooMany.

        `peer` is who holds the connection, `forwarded` the header X-Forwarded-For.
        """
        if not given:
            return None  # no guess
        now = time.monotonic()
        address = proxies.client(peer, forwarded, self._trusted)
        if wait := self._guesses.wait(address, now):
            raise TooMany("there were too many wrong tokens from this address", math.ceil(wait))
        identity = self.identify(given)
        if identity is None:
            self._guesses.take(address, now)
            # Behind a proxy that is not named everybody has its address, and one's guesses count for all.
            hint = {"hint": "name the proxy in BRIDGE_TRUSTED_PROXIES"} if forwarded and not self._trusted else {}
            log.warning("access.refused", address=address, **hint)
            return None
        self.use(identity)
        return identity

    def use(self, identity: Identity) -> None:
        """Count one request of somebody known; raises TooMany."""
        if wait := self._uses.take(identity.name, time.monotonic()):
            raise TooMany(f"the {identity.name} may ask {self._rate.written}", math.ceil(wait))

    def identify(self, given: bytes) -> Identity | None:
        """Return whose token this is, None for nobody's; takes equally long for any of them."""
        matches = [identity for token, identity in self._tokens if hmac.compare_digest(token, given)]
        return matches[0] if matches else None

    def proof(self, secret: bytes, given: bytes) -> bytes:
        """Return what a token makes of a session's secret: it tells nobody the token, and needs it to be made."""
        return hmac.digest(secret, given, "sha256")

    def prove(self, secret: bytes, proof: bytes) -> Identity | None:
        """Return whose token made the proof; None once that token is no longer one."""
        matches = [
            identity for token, identity in self._tokens if hmac.compare_digest(self.proof(secret, token), proof)
        ]
        return matches[0] if matches else None
