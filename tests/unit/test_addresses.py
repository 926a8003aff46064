from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.addresses import Guard, base_url, networks, parse

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254
169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1
192.168.0.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
255.255.255.255 168.63.129.16
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::a9fe:a9fe
64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:: 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::
2620:4f:8000::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 4000::1 1fff::1
""".split()
ALLOWED = """
1.1.1.1 8.8.8.8 9.255.255.255 100.63.255.255 100.128.0.0 172.32.0.1 168.63.129.17 223.255.255.255 2606:4700::1111
2a00:1450:4001::1 ::ffff:8.8.8.8 2001:200::1
""".split()


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_inside_and_around_us_are_refused(address):
    """No address of ours, of a metadata service, of documentation, multicast or a tunnel to these is permitted."""
    assert not Guard().permits(address, 443)


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_permitted(address):
    """A public address is permitted on port 443 and on no other."""
    assert Guard().permits(address, 443)
    assert not Guard().permits(address, 22)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_an_allowed_network_is_permitted_on_any_port(address):
    """An operator's network is reached on every port, also where it is written as a mapped address."""
    guard = Guard(allow_cidrs=networks(["10.0.0.0/8", "fd00::/8"]))
    assert guard.permits(address, 8080)
    assert guard.permits("fd00::1", 8080)
    assert not guard.permits("192.168.0.1", 8080)


def test_port_80_goes_with_allow_http():
    """Permitting http permits its port."""
    assert not Guard().permits("1.1.1.1", 80)
    assert Guard(allow_http=True).permits("1.1.1.1", 80)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://ci.example.com/", "https://"),
        ("ftp://ci.example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("ci.example.com", "https://"),
        ("//ci.example.com/", "https://"),
        ("https:///x", "https://"),
        ("", "https://"),
        ("https://user:word@ci.example.com/", "user name"),
        ("https://ci.example.com\\@evil.example.net/", "user name"),
        ("https://ci.example.com@evil.example.net/", "user name"),
        ("https://ci.example.com:0/", "port"),
        ("https://ci.example.com:99999/", "port"),
        ("https://ci.example.com:22/", "port 22"),
        ("https://evil.example.net/", "allow_hosts"),
        ("https://evilexample.com/", "allow_hosts"),
        ("https://example.com/", "allow_hosts"),
        ("https://ci.example.com.evil.example.net/", "allow_hosts"),
        ("https://ci.example.com\x00/", "not a URL"),
        (f"https://{'a' * 500}.net/", "…"),
    ],
)
def test_a_url_of_the_wrong_form_is_refused_without_showing_it(url, said):
    """Scheme, user name, port and host are looked at before anything is resolved, and the path is never repeated."""
    problem = Guard(allow_hosts=("*.example.com",)).problem(f"{url}?token=s3cret" if "/" in url else url)
    assert said in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://ci.example.com/x?y=z",
        "HTTPS://CI.EXAMPLE.COM",
        "https://ci.example.com.:443/",
        "https://a.b.example.com",
    ],
)
def test_a_url_whose_host_matches_is_taken(url):
    """Hosts are compared without regard to case, a final dot or the port that https implies."""
    assert Guard(allow_hosts=("*.example.com",)).problem(url) is None


def test_what_the_operator_allows_is_taken():
    """allow_http permits http on port 80; with allow_cidrs the address decides about the port."""
    assert Guard(allow_http=True).problem("http://ci.example.com/") is None
    assert Guard(allow_http=True).problem("http://ci.example.com:8080/") is not None
    assert Guard(ports=frozenset({443, 8443})).problem("https://ci.example.com:8443/") is None
    assert Guard(allow_cidrs=networks(["10.0.0.0/8"])).problem("https://ci.example.com:8443/") is None


def test_a_base_url_loses_its_slash_and_nothing_else():
    """Paths are appended to a base URL, so it may have a path, and no query or fragment."""
    assert base_url("http://genesis.internal:8080/prefix/") == "http://genesis.internal:8080/prefix"
    for wrong in ("https://g.example.com/?", "https://g.example.com/#x", "https://a:b@g.example.com", "g.example.com"):
        with pytest.raises(ValueError, match="the URL cannot be used"):
            base_url(wrong)


def test_networks_are_read_or_named():
    """A network with host bits set is likely a mistake, and the message names it."""
    assert networks(["10.0.0.0/8", "fd00::/8"]) == (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))
    with pytest.raises(ValueError, match=r"allow_cidrs: 10\.1\.2\.3/8"):
        networks(["10.1.2.3/8"])


PIECES = st.sampled_from(
    "https:// http:// ftp: // / \\ @ : # ? [ ] [::1] % %2f %00 . .. ci.example.com 127.0.0.1 xn-- xn--a ß \u24db "
    "\u3002 \ud800 \u202e \x00 \r\n 65536 :443 :-1 :\u0663 user:pw@ &#; s3cret".split(" ")
)


@given(st.text() | st.lists(PIECES, max_size=8).map("".join) | st.lists(PIECES, max_size=8).map("https://x".join))
def test_any_text_is_judged(text):
    """Whatever an event brings as a URL: it is taken, or refused in words that do not repeat it."""
    problem = Guard(allow_hosts=("*.example.com",)).problem(text)
    if problem is None:
        assert parse(text).raw_host.decode().removesuffix(".").endswith(".example.com")
    else:
        assert problem.isprintable()
        assert len(problem) < 200
