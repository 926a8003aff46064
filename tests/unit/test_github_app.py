"""The token an App asks with on its own behalf, and the keys it is made with."""

import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.emulators.github_apps import App, app_of
from bridge.github_app import check_key, jwt
from tests.github_keys import PRIVATE_KEY, PUBLIC_KEY

NOW = 1_800_000_000.7
APP = App(id=9, public_key=PUBLIC_KEY)


def part(token: str, number: int) -> dict[str, object]:
    text = token.split(".")[number]
    found: dict[str, object] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def test_an_apps_token_says_what_github_asks_for() -> None:
    """RS256, a minute back, less than ten minutes ahead, by the clock it is given."""
    token = jwt(9, PRIVATE_KEY.encode(), NOW)
    assert part(token, 0) == {"alg": "RS256", "typ": "JWT"}
    assert part(token, 1) == {"iat": 1_799_999_940, "exp": 1_800_000_540, "iss": "9"}
    assert "=" not in token


@pytest.mark.parametrize("skew", [-59, 0, 59, 500])
def test_an_apps_token_holds_between_clocks_that_differ(skew: float) -> None:
    """A minute either way is nothing, and it is good for nine."""
    assert app_of(jwt(9, PRIVATE_KEY.encode(), NOW), [APP], NOW + skew) is APP


def test_a_key_may_come_from_an_environment_variable() -> None:
    """Where a line's end is often a backslash and an n."""
    escaped = PRIVATE_KEY.replace("\n", "\\n").encode()
    check_key(escaped)
    assert app_of(jwt(9, escaped, NOW), [APP], NOW) is APP


def test_only_rsa_keys_are_keys_of_apps() -> None:
    """Another kind, and what needs a password, are told apart from what is no key, and never shown."""
    other = generate_private_key(SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="no RSA key"):
        check_key(pem)
    for wrong in (b"", b"secret words", PUBLIC_KEY, b"\xff" * 10):
        with pytest.raises(ValueError, match="it is no private key in PEM") as failed:
            check_key(wrong)
        assert "secret words" not in str(failed.value)
