"""Where requests may go: URLs by their form, addresses by our own table. Pure.

`ipaddress.is_global` is not enough: Python 3.11.7 calls NAT64 and 6to4 forms of 169.254.169.254, multicast, fec0::/10
and Azure's 168.63.129.16 global. So IPv4 is a list of what is refused, and IPv6 a short list of what is allowed.
"""

import fnmatch
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx
from msgspec import Struct

Network = IPv4Network | IPv6Network

HTTPS_PORT = 443
HTTP_PORT = 80

# https://www.iana.org/assignments/iana-ipv4-special-registry, and 168.63.129.16, Azure's host agent.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 "
        "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32"
    ).split()
)
# https://www.iana.org/assignments/iana-ipv6-special-registry: what is handed out, minus what leads to somewhere else.
_GIVEN_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network) for network in "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20".split()
)


class Guard(Struct, frozen=True, kw_only=True):
    """What an operator permits for URLs that somebody else may have chosen."""

    allow_cidrs: tuple[Network, ...] = ()
    """Networks that are reached although the table refuses them, on any port."""
    allow_hosts: tuple[str, ...] = ()
    """Globs in lower case (names beyond ASCII as `xn--...`), of which the host must match one; none: every host."""
    allow_http: bool = False
    ports: frozenset[int] = frozenset({HTTPS_PORT})

    def problem(self, url: str) -> str | None:
        """Say what is wrong with the form of a URL, without showing it; None: nothing.

        What its name resolves to is looked at when it is connected to, and only then.
        """
        try:
            parsed = parse(url)
        except ValueError as error:
            return str(error)
        host = parsed.raw_host.decode().removesuffix(".")
        if parsed.scheme == "http" and not self.allow_http:
            return "it must begin with https:// (allow_http permits http://)"
        if self.allow_hosts and not any(fnmatch.fnmatchcase(host, pattern) for pattern in self.allow_hosts):
            return f"the host {shown(host)} is not one of allow_hosts"
        if not self.allow_cidrs and not self._knows(port_of(parsed)):
            return (
                f"port {port_of(parsed)} is not one of allow_ports (on networks in allow_cidrs every port is allowed)"
            )
        return None

    def permits(self, address: str, port: int) -> bool:
        """Whether a resolved address may be connected to on this port."""
        number = ip_address(address.partition("%")[0])
        if isinstance(number, IPv6Address) and number.ipv4_mapped:
            number = number.ipv4_mapped
        if any(number in network for network in self.allow_cidrs):
            return True
        if isinstance(number, IPv6Address):
            public = number in _GIVEN_V6 and not any(number in network for network in _REFUSED_V6)
        else:
            public = not any(number in network for network in _REFUSED_V4)
        return public and self._knows(port)

    def _knows(self, port: int) -> bool:
        return port in self.ports or (port == HTTP_PORT and self.allow_http)


def parse(url: str) -> httpx.URL:
    """Read an absolute http(s) URL; ValueError says what is wrong with it, without showing it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("it is not a URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("it must be an absolute URL that begins with https://")
    if parsed.userinfo:
        raise ValueError("it must not carry a user name or password")
    if not 0 < port_of(parsed) < 1 << 16:
        raise ValueError("its port must be between 1 and 65535")
    return parsed


def port_of(url: httpx.URL) -> int:
    """Return the port a URL names or implies."""
    if url.port is not None:
        return url.port
    return HTTPS_PORT if url.scheme == "https" else HTTP_PORT


def origin(url: str) -> tuple[str, str, int]:
    """Return a URL's scheme, host (IDNA) and port; ValueError says what is wrong with it."""
    parsed = parse(url)
    return parsed.scheme, parsed.raw_host.decode(), port_of(parsed)


def base_url(text: str) -> str:
    """Return an operator's base URL without its trailing slash; ValueError says what is wrong with it."""
    try:
        parsed = parse(text)
    except ValueError as error:
        raise ValueError(f"the URL cannot be used: {error}") from None
    if parsed.query or parsed.fragment or "?" in text or "#" in text:
        raise ValueError("the URL cannot be used: paths are appended to it, so it must end before any `?` or `#`")
    return text.rstrip("/")


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read `allow_cidrs:`; ValueError names the one that is no network."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"allow_cidrs: {error}; write networks such as 10.0.0.0/8") from None


def shown(host: str) -> str:
    """Return a host as messages show it: a stranger chose it, so it is quoted and short."""
    return repr(host if len(host) <= 100 else f"{host[:99]}…")  # noqa: PLR2004 - one terminal line
