"""What every step needs, made once per process."""

from msgspec import Struct

from bridge.config import Config
from bridge.outbound import Outbound
from bridge.store import Store


class Bridge(Struct, frozen=True):
    """What (config), and where to (store, outbound)."""

    config: Config
    store: Store
    outbound: Outbound
    public_url: str
