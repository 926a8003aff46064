"""Whose address counts: only what a named proxy says is believed, and only up to the first who is none."""

import pytest

from bridge.addresses import networks
from bridge.proxies import client

PROXIES = networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "whose"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, made up, 10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("10.0.0.1", "[2a01:db8::7]:443", "2a01:db8::/64"),
        ("fd00::1", "2a01:db8:0:1:2:3:4:5", "2a01:db8:0:1::/64"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        (None, "1.2.3.4", "unknown"),
        ("", "1.2.3.4", "unknown"),
        ("testclient", "1.2.3.4", "unknown"),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_counts(peer, forwarded, whose):
    """Left of it anybody may have written anything; of IPv6 it is the /64."""
    assert client(peer, forwarded, PROXIES) == whose


def test_without_named_proxies_the_header_is_nothing():
    """Whoever connects is who it is."""
    assert client("127.0.0.1", "1.2.3.4", ()) == "127.0.0.1"
