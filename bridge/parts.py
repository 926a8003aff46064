"""What every step needs, made once per process; a new configuration makes it anew."""

import math

from msgspec import Struct, field

from bridge.budgets import Strikes
from bridge.config import Config
from bridge.outbound import Outbound
from bridge.store import Store


class Bridge(Struct, frozen=True):
    """What (config), and where to (store, outbound).

    Whoever begins a delivery, a step or an attempt takes it once, and so ends it under the configuration it began with.
    """

    config: Config
    store: Store
    outbound: Outbound
    public_url: str
    since: float = -math.inf
    """The monotonic moment from which this process has had this configuration."""
    strikes: Strikes = field(default_factory=Strikes)
    """What engines last answered this process, whatever its configuration."""
