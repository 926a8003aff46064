import pytest

from bridge.config import load
from bridge.errors import Permanent, WrongState
from bridge.keeping import kept_body, opened_address, sealed_addresses, sealed_body
from bridge.packing import pack_body
from bridge.records import Recipient, Record

CONFIG = """
version: 1
sources:
  slack: {type: slack, secrets: [{env: NEW}, {env: OLD}]}
  gone: {type: slack, secrets: [{env: OLD}]}
engines:
  genesis: {type: genesis, api_key: {env: NEW}}
notifiers:
  reply: {type: slack_reply}
  qa: {type: slack, token: {env: NEW}, channel: C1}
  ci: {type: callback, url: "${{ body.url }}", secrets: [{env: KEY}]}
"""
ENVIRON = {
    "NEW": "new-secret-of-16-bytes",
    "OLD": "old-secret-of-16-bytes",
    "KEY": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
ADDRESS = {"response_url": "https://hooks.slack.com/commands/1", "channel": "C1"}


@pytest.fixture
def read(tmp_path):
    """Read a configuration."""

    def reading(text=CONFIG):
        path = tmp_path / "bridge.yaml"
        path.write_text(text)
        return load(path, ENVIRON)

    return reading


def record(source, *notify):
    """Return a record with these recipients."""
    return Record(
        delivery_id="d",
        rule="r",
        source=source,
        engine="genesis",
        template="t",
        template_id="i",
        variables={},
        deadline_seconds=1,
        notify=list(notify),
    )


def test_credentials_in_addresses_are_sealed_and_opened_address(read):
    """The response URL is kept sealed, the channel as it is; both come out as they went in."""
    config = read()
    kept = sealed_addresses(config, record("slack", Recipient("reply", ADDRESS), Recipient("qa", {"channel": "C1"})))
    [reply, qa] = kept.notify
    assert reply.address["channel"] == "C1"
    assert reply.address["response_url"].startswith("sealed.slack.")
    assert "hooks" not in str(kept)
    assert qa == Recipient("qa", {"channel": "C1"})
    assert opened_address(config, "reply", reply.address) == ADDRESS
    assert opened_address(config, "qa", qa.address) == {"channel": "C1"}


def test_what_a_source_tells_by_itself_has_nothing_sealed(read):
    """An answer under a comment goes to its repository and number: no notifier of the configuration, no credential."""
    where = {"repo": "octo/hello", "number": "7"}
    assert opened_address(read(), "source:github", where) == where


def test_a_source_that_left_the_configuration_is_missed_in_words(read):
    """What it sealed cannot be opened any more, and the message says what would help."""
    [reply] = sealed_addresses(read(), record("gone", Recipient("reply", ADDRESS))).notify
    with pytest.raises(Permanent, match=r"the response_url was kept sealed .* 'gone' .* put the old one"):
        opened_address(read(CONFIG.replace("  gone:", "  other:")), "reply", reply.address)


def test_a_notifiers_own_secret_seals_where_the_source_has_none(read):
    """A callback always has one."""
    [ci] = sealed_addresses(read(), record("nobody", Recipient("ci", {"url": "https://x.example/?token=t"}))).notify
    assert "token" not in str(ci)
    assert opened_address(read(), "ci", ci.address) == {"url": "https://x.example/?token=t"}


def test_what_was_not_sealed_is_taken_as_it_is(read):
    """An address that holds no credential, or was written down otherwise."""
    assert opened_address(read(), "reply", ADDRESS) == ADDRESS


@pytest.mark.parametrize("value", ["sealed.slack.", "sealed.slack.AAAA", "sealed.slack.a b", "sealed.", "sealed.x.y"])
def test_an_address_that_was_tampered_with_is_not_used(read, value):
    """Whoever can write to Redis cannot choose where a reply goes by that."""
    with pytest.raises(Permanent, match="kept sealed"):
        opened_address(read(), "reply", {"response_url": value})


def test_an_address_opens_for_its_own_notifier_only(read):
    """One that is moved to another notifier is not sent to."""
    config = read(CONFIG + "  other: {type: slack_reply}\n")
    [reply] = sealed_addresses(config, record("slack", Recipient("reply", ADDRESS))).notify
    with pytest.raises(Permanent):
        opened_address(config, "other", reply.address)


class Kept:
    """A store of one body."""

    def __init__(self, stored):
        self.stored = stored

    async def body(self, _):
        return self.stored


async def test_bodies_are_kept_sealed(read):
    """What a sender says may hold anything; it is read back as it came, by whoever has a secret of its source."""
    config, body = read(), b'{"password": "s3cret"}' * 100
    stored = sealed_body(config, "slack", body)
    assert b"s3cret" not in stored
    assert len(stored) < len(body) / 5
    assert pack_body(stored) == stored
    assert await kept_body(config, Kept(stored), "d") == body
    assert await kept_body(config, Kept(None), "d") is None
    only_old = read(CONFIG.replace("{env: NEW}, {env: OLD}", "{env: OLD}"))
    with pytest.raises(WrongState, match=r"kept sealed with a secret of the source 'slack'"):
        await kept_body(only_old, Kept(stored), "d")
    assert await kept_body(config, Kept(sealed_body(only_old, "slack", body)), "d") == body


async def test_a_body_of_a_source_without_secrets_is_kept_as_it_came(read):
    """There is nothing to seal it with."""
    assert sealed_body(read(), "nobody", b"{}") == b"{}"
    assert await kept_body(read(), Kept(b"{}"), "d") == b"{}"
