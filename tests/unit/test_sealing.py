import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.expressions import Text
from bridge.notifiers.callback import Callback
from bridge.sealing import CannotOpen, seal, secrets_in, source_of, unseal
from bridge.secret import Secret, SecretFile
from bridge.sources.generic import Bearer, Generic

OLD, NEW = (Secret(f"env: {name}", name.encode()) for name in ("OLD-SECRET", "NEW-SECRET"))
URL = "https://hooks.slack.com/commands/T/1/x"


@given(st.text())
def test_what_is_sealed_can_be_opened_and_not_read(text):
    """With the secret it is what it was; without, it tells at most how long it is."""
    sealed = seal(text, "slack", "reply response_url", [NEW])
    assert unseal(sealed, "reply response_url", [NEW]) == text
    assert source_of(sealed) == "slack"
    assert len(text) < 8 or text not in sealed
    assert seal(text, "slack", "reply response_url", [NEW]) != sealed


def test_a_rotation_leaves_no_gap():
    """The first secret seals, and any of the list opens."""
    before = seal(URL, "slack", "p", [OLD])
    during = seal(URL, "slack", "p", [NEW, OLD])
    assert unseal(before, "p", [NEW, OLD]) == unseal(during, "p", [NEW]) == URL
    with pytest.raises(CannotOpen):
        unseal(before, "p", [NEW])


def test_a_secret_that_changed_in_its_file_still_opens(tmp_path):
    """A process that saw the change opens what was sealed before it."""
    (tmp_path / "secret").write_text("before")
    file = SecretFile(tmp_path / "secret", lambda: 0)
    secret = Secret("file: x", file.read(), file)
    sealed = seal(URL, "slack", "p", [secret])
    (tmp_path / "secret").write_text("after")
    file._next_look = -1
    assert unseal(sealed, "p", [secret]) == URL
    assert secret.text() == "after"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sealed: sealed.replace("slack", "other"),
        lambda sealed: sealed[:-6] + "AAAA" + sealed[-2:],
        lambda sealed: sealed[:20],
        lambda sealed: sealed[:15] + "!" + sealed[15:],
        lambda _: "sealed1.slack.",
    ],
)
def test_what_was_tampered_with_does_not_open(spoil):
    """Neither changed, nor cut, nor under the name of another source."""
    with pytest.raises(CannotOpen):
        unseal(spoil(seal(URL, "slack", "p", [NEW])), "p", [NEW])


def test_it_opens_for_its_own_purpose_only():
    """An address that is moved to another notifier is not sent to."""
    with pytest.raises(CannotOpen):
        unseal(seal(URL, "slack", "p", [NEW]), "another", [NEW])


@pytest.mark.parametrize("text", ["", URL, "sealed", "sealed2.slack.x", "sealed1"])
def test_other_texts_are_not_sealed(text):
    """What was never sealed is taken as it is."""
    assert source_of(text) is None


def test_secrets_are_found_wherever_they_stand():
    """In a list, in a record inside a record, and in the order of the settings."""
    source = Generic(auth=Bearer(secrets=[NEW, OLD]))
    notifier = Callback(url=Text("https://x.example"), secrets=[Secret("env: C", b"whsec_c2Vjb25k")])
    assert secrets_in(source, notifier) == [NEW, OLD, *notifier.secrets]
