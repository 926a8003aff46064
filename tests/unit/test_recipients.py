import pytest

from bridge.config import load
from bridge.errors import Permanent
from bridge.recipients import opened, sealed
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
ENVIRON = {"NEW": "new-secret", "OLD": "old-secret", "KEY": "whsec_c2Vjb25k"}
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


def test_credentials_in_addresses_are_sealed_and_opened(read):
    """The response URL is kept sealed, the channel as it is; both come out as they went in."""
    config = read()
    kept = sealed(config, record("slack", Recipient("reply", ADDRESS), Recipient("qa", {"channel": "C1"})))
    [reply, qa] = kept.notify
    assert reply.address["channel"] == "C1"
    assert reply.address["response_url"].startswith("sealed1.slack.")
    assert "hooks" not in str(kept)
    assert qa == Recipient("qa", {"channel": "C1"})
    assert opened(config, "reply", reply.address) == ADDRESS
    assert opened(config, "qa", qa.address) == {"channel": "C1"}


def test_a_source_that_left_the_configuration_is_missed_in_words(read):
    """What it sealed cannot be opened any more, and the message says what would help."""
    [reply] = sealed(read(), record("gone", Recipient("reply", ADDRESS))).notify
    with pytest.raises(Permanent, match=r"the response_url was kept sealed with a secret of 'gone' .* put the old one"):
        opened(read(CONFIG.replace("  gone:", "  other:")), "reply", reply.address)


def test_a_notifiers_own_secret_seals_where_the_source_has_none(read):
    """A callback always has one."""
    [ci] = sealed(read(), record("nobody", Recipient("ci", {"url": "https://x.example/?token=t"}))).notify
    assert "token" not in str(ci)
    assert opened(read(), "ci", ci.address) == {"url": "https://x.example/?token=t"}


def test_what_was_not_sealed_is_taken_as_it_is(read):
    """An address that holds no credential, or was written down otherwise."""
    assert opened(read(), "reply", ADDRESS) == ADDRESS
