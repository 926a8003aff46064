"""What a server says of itself is judged: each thing to change is one line, and nothing else is said."""

import pytest

from bridge.redis_checks import judge

GOOD = {
    "redis_version": "7.2.4",
    "role": "master",
    "cluster_enabled": 0,
    "maxmemory_policy": "noeviction",
    "maxmemory": 0,
    "used_memory": 5_000_000,
    "evicted_keys": 0,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
}


def judged(durability="standard", *, fsync="everysec", apart=0.0, **info):
    """Return (refused, text) of what is found."""
    found = judge(GOOD | info, durability, fsync=fsync, clocks_apart_seconds=apart)
    assert all("\n" not in finding.text for finding in found)
    return [(finding.refused, finding.text) for finding in found]


@pytest.mark.parametrize("durability", ["strict", "standard", "none"])
def test_a_server_that_is_rightly_set_gets_no_line(durability):
    """Nor does one that hides what INFO usually tells."""
    assert judged(durability, fsync="always") == []
    assert judge({}, durability, fsync="always", clocks_apart_seconds=0) == []


@pytest.mark.parametrize(
    ("info", "word"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "set it to noeviction"),
        ({"maxmemory_policy": "volatile-ttl"}, "set it to noeviction"),
        ({"cluster_enabled": 1, "role": "slave"}, "this is a Redis Cluster"),
        ({"role": "slave"}, "point BRIDGE_REDIS_URL at the master"),
        ({"aof_enabled": 0}, "set appendonly yes"),
        ({"aof_last_write_status": "err"}, "full or broken disk"),
        ({"redis_version": "6.0.16"}, "update it to 6.2 or later"),
        ({"redis_version": "5"}, "update it to 6.2 or later"),
    ],
)
@pytest.mark.parametrize("durability", ["strict", "standard"])
def test_what_would_lose_deliveries_is_refused(info, word, durability):
    """One line each, which says what to change."""
    [(refused, text)] = judged(durability, fsync="always", **info)
    assert refused
    assert word in text


def test_with_durability_none_the_append_only_file_is_not_asked_for():
    """Everything else still is."""
    assert judged("none", aof_enabled=0, aof_last_write_status="err") == []
    assert len(judged("none", aof_enabled=0, maxmemory_policy="allkeys-lfu")) == 1


def test_fsync_matters_under_strict_only():
    """Unknown, where CONFIG is forbidden, is a warning of its own."""
    assert judged("standard", fsync=None) == []
    [(refused, text)] = judged("strict", fsync="everysec")
    assert (refused, "set it to always" in text) == (False, True)
    [(refused, text)] = judged("strict", fsync=None)
    assert (refused, "appendfsync is unknown" in text) == (False, True)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"apart": 3.04}, "+3.0 s from this machine's"),
        ({"apart": -600}, "-600.0 s from this machine's"),
        ({"maxmemory": 1000, "used_memory": 900}, "90% of its memory"),
        ({"evicted_keys": 7}, "evicted 7 keys"),
    ],
)
def test_what_may_become_trouble_is_warned_of(more, word):
    """The start is not refused for it."""
    [(refused, text)] = judged(**more)
    assert not refused
    assert word in text


def test_a_clock_or_a_memory_within_bounds_is_not_mentioned():
    """Two seconds and four fifths."""
    assert judged(apart=1.9, maxmemory=1000, used_memory=800) == []
