"""Where notifications go, as it is kept: credentials in the addresses are sealed at accept and opened to be used."""

from msgspec import structs

from bridge.config import Config
from bridge.errors import Permanent
from bridge.records import Recipient, Record
from bridge.sealing import CannotOpen, seal, secrets_in, source_of, unseal
from bridge.secret import Secret


def sealed(config: Config, record: Record) -> Record:
    """Return a record whose recipients' credentials only this configuration can read."""
    return structs.replace(record, notify=[_sealed(config, record.source, one) for one in record.notify])


def _sealed(config: Config, source: str, recipient: Recipient) -> Recipient:
    credentials = config.notifiers[recipient.notifier].sealed
    if credentials.isdisjoint(recipient.address):
        return recipient
    secrets = _secrets(config, source, recipient.notifier)
    address = {
        name: seal(value, source, _purpose(recipient.notifier, name), secrets) if name in credentials else value
        for name, value in recipient.address.items()
    }
    return Recipient(recipient.notifier, address)


def opened(config: Config, notifier: str, address: dict[str, str]) -> dict[str, str]:
    """Return an address as the notifier made it; raises Permanent where the secret for it is gone."""
    found = {}
    for name, value in address.items():
        source = source_of(value) if name in config.notifiers[notifier].sealed else None
        try:
            secrets = [] if source is None else _secrets(config, source, notifier)
            found[name] = value if source is None else unseal(value, _purpose(notifier, name), secrets)
        except CannotOpen:
            raise Permanent(
                f"the {name} was kept sealed with a secret of {source!r} that is not configured any more: "
                "put the old one back into its `secrets`, then retry"
            ) from None
    return found


def _secrets(config: Config, source: str, notifier: str) -> list[Secret]:
    """Return the secrets to try: the source's own first, for whoever sends the address knows one of them."""
    adapters = (config.sources.get(source), config.notifiers[notifier])
    return secrets_in(*(adapter for adapter in adapters if adapter is not None))


def _purpose(notifier: str, name: str) -> str:
    return f"{notifier} {name}"
