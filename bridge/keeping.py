"""What Redis keeps of an event that is for nobody's eyes: bodies, and credentials in addresses, sealed and opened.

Sealed with a secret of the source it came from (whoever sent it knows one of them), or else of the notifier. Each says
for which source it was sealed, so that whoever opens it knows which secrets to try.
"""

import base64
import binascii
import zlib

from msgspec import structs

from bridge.config import Config
from bridge.errors import Permanent, WrongState
from bridge.packing import SEALED
from bridge.records import Recipient, Record
from bridge.sealing import CannotOpen, seal, secrets_in, unseal
from bridge.secret import Secret
from bridge.store import Store

_ADDRESS = "sealed."
_BODY = "body"


def sealed_addresses(config: Config, record: Record) -> Record:
    """Return a record whose recipients' credentials only this configuration can read."""
    return structs.replace(record, notify=[_sealed(config, record.source, one) for one in record.notify])


def opened_address(config: Config, notifier: str, address: dict[str, str]) -> dict[str, str]:
    """Return an address as the notifier made it; raises Permanent where the secret for it is gone."""
    return {name: _opened(config, notifier, name, value) for name, value in address.items()}


def sealed_body(config: Config, source: str, body: bytes) -> bytes:
    """Return a body as it is kept; of a source without secrets, as it came."""
    secrets = _secrets(config, source)
    if not secrets:
        return body
    return SEALED + source.encode() + b"\0" + seal(zlib.compress(body, 1), f"{source} {_BODY}", secrets)


async def kept_body(config: Config, store: Store, delivery_id: str) -> bytes | None:
    """Return a delivery's body as it came, None if it is no longer kept; raises WrongState and StoreUnavailable."""
    stored = await store.body(delivery_id)
    if stored is None or not stored.startswith(SEALED):
        return stored
    name, _, sealed = stored.removeprefix(SEALED).partition(b"\0")
    source = name.decode()
    try:
        return zlib.decompress(unseal(sealed, f"{source} {_BODY}", _secrets(config, source)))
    except CannotOpen:
        raise WrongState(f"the delivery's body was {_gone(source)}") from None


def _sealed(config: Config, source: str, recipient: Recipient) -> Recipient:
    credentials = config.notifiers[recipient.notifier].sealed
    secrets = _secrets(config, source, recipient.notifier)
    address = dict(recipient.address)
    for name in credentials & address.keys():
        sealed = seal(address[name].encode(errors="surrogatepass"), f"{source} {recipient.notifier} {name}", secrets)
        address[name] = f"{_ADDRESS}{source}.{base64.b64encode(sealed).decode()}"
    return Recipient(recipient.notifier, address)


def _opened(config: Config, notifier: str, name: str, value: str) -> str:
    told = config.notifiers.get(notifier)  # a source tells, too: whoever gave it a command
    if told is None or name not in told.sealed or not value.startswith(_ADDRESS):
        return value
    source, _, encoded = value.removeprefix(_ADDRESS).partition(".")
    secrets = _secrets(config, source, notifier)
    try:
        opened = unseal(base64.b64decode(encoded, validate=True), f"{source} {notifier} {name}", secrets)
    except (CannotOpen, binascii.Error):
        raise Permanent(f"the {name} was {_gone(source)}") from None
    return opened.decode(errors="surrogatepass")


def _secrets(config: Config, source: str, notifier: str = "") -> list[Secret]:
    adapters = (config.sources.get(source), config.notifiers.get(notifier))
    return secrets_in(*(adapter for adapter in adapters if adapter is not None))


def _gone(source: str) -> str:
    return (
        f"kept sealed with a secret of the source {source!r} that is not configured any more: "
        "put the old one back at the end of its `secrets`, then try again"
    )
