"""Whose address a request comes from, when it may have come through proxies. Pure.

`X-Forwarded-For` is a list to which each proxy adds whom it heard from; everything left of the last proxy that the
operator vouches for may be made up by anybody (CVE-2025-59152 is a rate limit that believed it).
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from bridge.addresses import Network

UNKNOWN = "unknown"


def client(peer: str | None, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """Return the address that counts: the peer's, or the rightmost hop that is no trusted proxy.

    `peer` is who holds the connection (None: a unix socket, or a server that does not tell), `forwarded` the header.
    Of an IPv6 address it is the /64, for whoever has one has all of that.
    """
    address = _address(peer or "")
    if address is None:
        return UNKNOWN
    for hop in reversed(forwarded.split(",")):
        if not _is_in(address, trusted):
            break
        before = _address(hop)
        if before is None:
            break  # the proxy's word ends here
        address = before
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((int(address), 64), strict=False))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):  # an IPv6 address with a port
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # an IPv4 address with a port
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _is_in(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
