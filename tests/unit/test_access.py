"""Tokens become identities, wrong ones cost their address, and sessions are proved by the token that began them."""

import pytest
from structlog.testing import capture_logs

from bridge.access import WRONG_TOKENS, Access
from bridge.addresses import networks
from bridge.errors import TooMany
from bridge.rate import Rate

API, READ = [b"operate-1", b"operate-2"], [b"read-1"]


def test_a_token_is_known_by_its_place():
    """Two scopes; nobody's token, part of one and more than one are nobody's."""
    access = Access(API, READ)
    found = [access.identify(token) for token in (*API, *READ)]
    assert [(one.name, one.operate) for one in found if one] == [
        ("api token 1", True),
        ("api token 2", True),
        ("read token 1", False),
    ]
    for given in (b"", b"operate", b"operate-1 ", b"operate-11", b"\xff\x00", b"x" * 100_000):
        assert access.identify(given) is None


def test_a_token_in_both_settings_may_operate():
    """The wider scope counts."""
    identity = Access([b"one"], [b"one"]).identify(b"one")
    assert identity is not None
    assert identity.operate


def test_without_tokens_nobody_comes_in():
    """Nothing is off by half: an empty token is none."""
    access = Access()
    assert access.closed
    assert access.enter(b"", "1.2.3.4", "") is None
    assert not Access(API).closed


def test_too_many_wrong_tokens_close_the_door_for_their_address_only():
    """Even the right one is then not looked at; each wrong one is told in the log, without the token."""
    access = Access(API)
    with capture_logs() as lines:
        for _ in range(WRONG_TOKENS.most):
            assert access.enter(b"guess", "1.2.3.4", "") is None
        with pytest.raises(TooMany, match="too many wrong tokens from this address; come again in 3 s") as caught:
            access.enter(API[0], "1.2.3.4", "")
    assert caught.value.headers == {"retry-after": "3"}
    assert access.enter(API[0], "1.2.3.5", "") is not None
    assert [line["event"] for line in lines] == ["access.refused"] * WRONG_TOKENS.most
    assert lines[0]["address"] == "1.2.3.4"
    assert "hint" not in lines[0]
    assert "guess" not in str(lines)


def test_right_tokens_cost_their_address_nothing():
    """Only what is wrong is a guess."""
    access = Access(API)
    for _ in range(WRONG_TOKENS.most * 2):
        assert access.enter(API[0], "1.2.3.4", "") is not None


def test_no_token_is_no_guess():
    """Whoever asks without one hears that one is needed, however often."""
    access = Access(API)
    for _ in range(WRONG_TOKENS.most * 2):
        assert access.enter(b"", "1.2.3.4", "") is None
    assert access.enter(API[0], "1.2.3.4", "") is not None


def test_a_proxy_that_is_not_named_is_told_of():
    """Its clients share one address until it is named; then each has its own."""
    with capture_logs() as lines:
        Access(API).enter(b"guess", "10.0.0.1", "1.2.3.4")
        Access(API, trusted_proxies=networks(["10.0.0.0/8"])).enter(b"guess", "10.0.0.1", "1.2.3.4")
    assert [line["address"] for line in lines] == ["10.0.0.1", "1.2.3.4"]
    assert "BRIDGE_TRUSTED_PROXIES" in lines[0]["hint"]
    assert "hint" not in lines[1]


def test_a_token_may_ask_so_often():
    """Each token on its own; the answer names the token by its place and the rate as it is written."""
    access = Access(API, rate=Rate.decode("2/h"))
    for _ in range(2):
        assert access.enter(API[0], None, "") is not None
    with pytest.raises(TooMany, match="the api token 1 may ask 2/h; come again in 1800 s"):
        access.enter(API[0], None, "")
    assert access.enter(API[1], None, "") is not None


def test_a_session_is_proved_by_the_token_that_began_it():
    """Not with another secret, not once the token is gone; whatever else is shown as a proof is none."""
    access = Access(API, READ)
    proof = access.proof(b"secret", READ[0])
    identity = access.prove(b"secret", proof)
    assert identity is not None
    assert identity.name == "read token 1"
    assert access.prove(b"another", proof) is None
    assert Access(API).prove(b"secret", proof) is None
    for made_up in (b"", b"x" * 32, proof + b"x", READ[0]):
        assert access.prove(b"secret", made_up) is None
    assert READ[0] not in proof
