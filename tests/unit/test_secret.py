"""Secrets come from where they are referred to, follow their files, and show nowhere."""

import copy
import io
import json
import logging
import pickle
import time
import traceback

import msgspec
import pytest
import structlog

from bridge.log import configure
from bridge.secret import Secret, SecretFile
from bridge.signatures import keys

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


@pytest.mark.parametrize("written", ["xoxb-123-s3cret", "", "whsec_s3cret=", "two words"])
def test_refuses_a_secret_in_the_place_of_a_name_without_repeating_it(written):
    """Whoever writes the secret itself after `env:` does not find it in the logs of every check."""
    with pytest.raises(ValueError, match="takes the name of a variable") as caught:
        Secret.decode({"env": written}, ENVIRON)
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
    assert "s3cret" not in f"{[secret]} {secret!s} {secret:} %s %r" % (secret, secret)
    for written in (msgspec.json.encode, msgspec.to_builtins, msgspec.msgpack.encode, json.dumps, pickle.dumps, vars):
        with pytest.raises(TypeError) as refused:
            written(secret)
        assert "s3cret" not in str(refused.value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not written anywhere"):
            pickle.dumps([secret], protocol)


def test_a_copy_of_a_secret_is_the_secret():
    """What copies a whole configuration makes no second one, which would miss the changes of its file."""
    secret = Secret.decode({"env": "TOKEN"}, ENVIRON)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"token": secret})["token"] is secret


def test_is_not_shown_in_a_traceback():
    """Neither among the locals nor in what is logged of an exception."""

    def failing(secret):
        held = [secret]
        raise RuntimeError(held)

    secret = Secret.decode({"env": "TOKEN"}, ENVIRON)
    try:
        failing(secret)
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret(env: TOKEN)" in shown
    assert "s3cret" not in shown.replace('"s3cret"', "")


class Mounted:
    """A secret in a file, and the clock it is looked at by."""

    def __init__(self, path, content="first-value"):
        self.path = path
        self.now = 0.0
        self.write(content)
        file = SecretFile(path, lambda: self.now)
        self.secret = Secret(f"file: {path}", file.read(), file)

    def write(self, content):
        self.path.write_text(content)

    def later(self, seconds=1.5):
        self.now += seconds
        return self.secret.text()


@pytest.fixture
def mounted(tmp_path):
    """Mount a secret."""
    return Mounted(tmp_path / "secret")


@pytest.fixture
def logged():
    """Collect what is logged."""
    lines, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure("json", lines)
    yield lines
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_a_changed_file_is_read_again_at_most_once_a_second(mounted, logged):
    """A secret that was rotated works without a restart, and its use costs no look at the disk each time."""
    assert mounted.later() == "first-value"
    mounted.write("second-value\n")
    assert mounted.later(0.5) == "first-value"
    assert mounted.later(0.6) == "second-value"
    assert mounted.secret.texts() == ["second-value", "first-value"]
    assert mounted.secret.hide("it was first-value, now second-value") == "it was ***, now ***"
    [line] = map(json.loads, logged.getvalue().splitlines())
    assert line["event"] == f"a secret was changed: file: {mounted.path}"
    assert "value" not in logged.getvalue()


def test_a_very_short_secret_hides_no_words(tmp_path):
    """Five characters stand in too many words."""
    assert Mounted(tmp_path / "secret", "error").secret.hide("an error") == "an error"


def test_a_file_that_is_away_or_empty_keeps_the_last_good_value(mounted, logged):
    """A mount that is being replaced is no reason to fail; it is said once, and the new value counts when it comes."""
    mounted.path.unlink()
    assert [mounted.later() for _ in range(3)] == ["first-value"] * 3
    mounted.write("")
    assert mounted.later() == "first-value"
    [line] = map(json.loads, logged.getvalue().splitlines())
    assert (line["level"], line["event"]) == (
        "warning",
        f"a secret is kept as it was: the file {mounted.path} cannot be read: No such file or directory",
    )
    mounted.write("second-value")
    assert mounted.later() == "second-value"
    mounted.path.unlink()
    mounted.later()
    assert len(logged.getvalue().splitlines()) == 3


def test_a_replaced_link_is_noticed(tmp_path):
    """Kubernetes changes a link to a directory, and never the file."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(f"value-{name}")
    (tmp_path / "data").symlink_to(tmp_path / "one")
    file = SecretFile(tmp_path / "data" / "secret", lambda: now[0])
    now = [0.0]
    secret = Secret("file: x", file.read(), file)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(tmp_path / "data")
    now[0] = 2.0
    assert secret.text() == "value-two"


def test_a_new_value_that_is_no_key_is_not_taken(tmp_path, logged):
    """A file that is changed to something of another format leaves the last good key in force, and is said once."""
    mounted = Mounted(tmp_path / "secret", "whsec_Zmlyc3Q=")
    mounted.write("whsec_not base64")
    for _ in range(3):
        mounted.now += 2
        assert keys([mounted.secret], "whsec") == [b"first"]
    assert logged.getvalue().count("copy it whole") == 1
    mounted.write("whsec_c2Vjb25k")
    mounted.now += 2
    assert keys([mounted.secret], "whsec") == [b"second"]


def test_variables_that_name_files_follow_them_too(tmp_path):
    """NAME_FILE is a file like any other, by the clock of the machine."""
    file = tmp_path / "secret"
    file.write_text("first")
    secret = Secret.decode({"env": "TOKEN"}, {"TOKEN_FILE": str(file)})
    file.write_text("second")
    assert secret.text() == "first"
    time.sleep(1.1)
    assert secret.text() == "second"


def test_schema_is_a_reference_of_one_key():
    """Editors are told that a reference has exactly one key."""
    written = Secret.schema()
    assert set(written["properties"]) == {"env", "file"}
    assert (written["minProperties"], written["maxProperties"]) == (1, 1)
