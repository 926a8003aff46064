"""Secrets come from where they are referred to, and show nowhere."""

import msgspec
import pytest

from bridge.secret import Secret

ENVIRON = {"TOKEN": "s3cret"}


def test_reads_from_the_environment():
    """`{env: NAME}` is that variable, as bytes and as text."""
    secret = Secret.decode({"env": "TOKEN"}, ENVIRON)
    assert (secret.reveal(), secret.text()) == (b"s3cret", "s3cret")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_reads_from_a_file_without_its_line_end(tmp_path, ending):
    """`{file: PATH}` is the file's content; the line end editors leave is no part of it."""
    file = tmp_path / "secret"
    file.write_bytes(b"s3cret" + ending)
    assert Secret.decode({"file": str(file)}, {}).reveal() == b"s3cret"


def test_a_variable_may_name_a_file(tmp_path):
    """NAME_FILE stands for NAME, as container platforms mount secrets."""
    file = tmp_path / "secret"
    file.write_bytes(b"mounted")
    assert Secret.decode({"env": "TOKEN"}, {"TOKEN_FILE": str(file)}).text() == "mounted"


@pytest.mark.parametrize("literal", ["s3cret", 5, None, ["s3cret"]])
def test_refuses_a_literal_without_repeating_it(literal):
    """A secret written into the configuration is refused, and the message does not show it."""
    with pytest.raises(ValueError, match="never written here") as caught:
        Secret.decode(literal, ENVIRON)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("reference", [{}, {"env": 5}, {"env": "A", "file": "B"}, {"vault": "x"}])
def test_refuses_what_is_no_reference(reference):
    """Exactly one of env and file, with text, is a reference."""
    with pytest.raises(ValueError, match="not a reference to a secret"):
        Secret.decode(reference, ENVIRON)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, r"the environment variable TOKEN \(or TOKEN_FILE\) is not set"),
        ({"TOKEN": ""}, "the environment variable TOKEN is empty"),
        ({"TOKEN": "\udcff"}, "the environment variable TOKEN is not UTF-8 text"),
        ({"TOKEN_FILE": "/nonexistent/secret"}, "the file /nonexistent/secret cannot be read"),
    ],
)
def test_refuses_an_unusable_value(environ, message):
    """Missing, empty and undecodable values are refused by the name of the variable or file."""
    with pytest.raises(ValueError, match=message):
        Secret.decode({"env": "TOKEN"}, environ)


@pytest.mark.parametrize(("content", "message"), [(b"\n", "is empty"), (b"\xff", "is not UTF-8 text")])
def test_refuses_an_unusable_file(tmp_path, content, message):
    """A file of nothing but a line end, or of other bytes than text, is refused."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Secret.decode({"file": str(file)}, {})


def test_stays_unread_without_an_environment():
    """`check --no-secrets` reads nothing, and using such a secret is an error that names it."""
    secret = Secret.decode({"env": "ABSENT"}, None)
    with pytest.raises(LookupError, match="env: ABSENT"):
        secret.reveal()


def test_is_shown_nowhere():
    """Formatting and repr show the reference; serialisers refuse it."""
    secret = Secret.decode({"env": "TOKEN"}, ENVIRON)
    assert f"{secret} {secret!r}" == "Secret(env: TOKEN) Secret(env: TOKEN)"
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_schema_is_a_reference_of_one_key():
    """Editors are told that a reference has exactly one key."""
    written = Secret.schema()
    assert set(written["properties"]) == {"env", "file"}
    assert (written["minProperties"], written["maxProperties"]) == (1, 1)
