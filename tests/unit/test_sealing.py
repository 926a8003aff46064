import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.notifiers.callback import Callback
from bridge.sealing import CannotOpen, seal, secrets_in, unseal
from bridge.secret import Secret, SecretFile
from bridge.sources.generic import Bearer, Generic
from bridge.urls import Url

OLD, NEW = (Secret(f"env: {name}", name.encode()) for name in ("OLD-SECRET-OF-16-BYTES", "NEW-SECRET-OF-16-BYTES"))
URL = b"https://hooks.slack.com/commands/T/1/x"


@given(st.binary())
def test_what_is_sealed_can_be_opened_and_not_read(data):
    """With the secret it is what it was; without, it tells at most how long it is, and never that it is the same."""
    sealed = seal(data, "p", [NEW])
    assert unseal(sealed, "p", [NEW]) == data
    assert len(data) < 4 or data not in sealed
    assert seal(data, "p", [NEW]) != sealed


def test_a_rotation_leaves_no_gap():
    """The first secret seals, and any of the list opens."""
    before = seal(URL, "p", [OLD])
    during = seal(URL, "p", [NEW, OLD])
    assert unseal(before, "p", [NEW, OLD]) == unseal(during, "p", [NEW]) == URL
    with pytest.raises(CannotOpen):
        unseal(before, "p", [NEW])


def test_a_secret_that_changed_in_its_file_still_opens(tmp_path):
    """A process that saw the change opens what was sealed before it."""
    (tmp_path / "secret").write_text("before")
    now = [0.0]
    file = SecretFile(tmp_path / "secret", lambda: now[0])
    secret = Secret("file: x", file.read(), file)
    sealed = seal(URL, "p", [secret])
    (tmp_path / "secret").write_text("after")
    now[0] = 2.0
    assert unseal(sealed, "p", [secret]) == URL
    assert secret.text() == "after"


@pytest.mark.parametrize(
    "spoil", [lambda sealed: sealed[:-1] + b"x", lambda sealed: sealed[:20], lambda sealed: sealed[:5], lambda _: b""]
)
def test_what_was_tampered_with_does_not_open(spoil):
    """Neither changed nor cut, to whatever length."""
    with pytest.raises(CannotOpen):
        unseal(spoil(seal(URL, "p", [NEW])), "p", [NEW])


def test_it_opens_for_its_own_purpose_only():
    """Something that is moved elsewhere is not taken for what belongs there."""
    with pytest.raises(CannotOpen):
        unseal(seal(URL, "p", [NEW]), "another", [NEW])


def test_secrets_are_found_wherever_they_stand():
    """In a list, in a record inside a record, and in the order of the settings."""
    source = Generic(auth=Bearer(secrets=[NEW, OLD]))
    notifier = Callback(
        url=Url("https://x.example"), secrets=[Secret("env: C", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    )
    assert secrets_in(source, notifier) == [NEW, OLD, *notifier.secrets]
