"""Whether the configuration's files are still what they were when it was read."""

import os

import pytest

from bridge.config import load
from bridge.config_files import Inputs, matching


@pytest.fixture
def inputs(tmp_path):
    """Return a main file and the files of one pattern."""
    (tmp_path / "rules").mkdir()
    for name in ("bridge.yaml", "rules/b.yaml", "rules/a.yaml"):
        (tmp_path / name).write_text("version: 1\n")
    return Inputs(tmp_path / "bridge.yaml", ("rules/*.yaml", "rules/a.yaml"))


def test_the_files_are_each_once_in_the_order_they_are_read_in(inputs, tmp_path):
    """The main file, then what each pattern matches, sorted."""
    assert inputs.files() == [tmp_path / "bridge.yaml", tmp_path / "rules/a.yaml", tmp_path / "rules/b.yaml"]


def test_a_pattern_matches_files_only(tmp_path):
    """A directory of that name, and a link that leads nowhere, are no configuration."""
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yaml").symlink_to("gone")
    assert matching(tmp_path / "bridge.yaml", "*.yaml") == []


def test_the_stamp_is_the_same_until_something_changes(inputs, tmp_path):
    """A new file, a removed one, one replaced by another of the same size and date, and other bytes all show."""
    seen = [inputs.stamp()]
    assert inputs.stamp() == seen[0]
    rules = tmp_path / "rules/a.yaml"
    old = rules.stat()
    (tmp_path / "new").write_text("version: 2\n")
    os.utime(tmp_path / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
    (tmp_path / "new").replace(rules)
    seen.append(inputs.stamp())
    rules.write_text("version: 11\n")
    seen.append(inputs.stamp())
    (tmp_path / "rules/c.yaml").write_text("")
    seen.append(inputs.stamp())
    rules.unlink()
    seen.append(inputs.stamp())
    (tmp_path / "bridge.yaml").unlink()
    seen.append(inputs.stamp())
    assert all(one != other for at, one in enumerate(seen) for other in seen[at + 1 :])


def test_the_digest_is_the_configurations_hash(tmp_path):
    """So that a file which was only touched need not be read again."""
    (tmp_path / "bridge.yaml").write_text("version: 1\ninclude: [b.yaml, '*.yaml']\n")
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(f"# {name}\nrules: []\n")
    config = load(tmp_path / "bridge.yaml", {})
    inputs = Inputs(config.files[0], config.patterns)
    assert inputs.digest() == config.hash
    (tmp_path / "a.yaml").write_text("rules: []\n")
    assert inputs.digest() != config.hash


def test_what_templates_are_made_of_is_a_part_of_it(inputs, tmp_path):
    """After all else, in the order given; one that is not there shows when it appears, and leaves no digest."""
    flow = tmp_path / "flow.json"
    with_flow = Inputs(inputs.main, inputs.patterns, (flow,))
    assert with_flow.files() == [*inputs.files(), flow]
    gone = with_flow.stamp()
    assert with_flow.digest() is None
    flow.write_text("")
    assert with_flow.stamp() != gone
    assert with_flow.digest() == inputs.digest()
    flow.write_text("{}")
    assert with_flow.digest() != inputs.digest()


def test_what_cannot_be_read_has_no_digest(inputs, tmp_path):
    """It is read as YAML, then, and the mistake is told."""
    (tmp_path / "bridge.yaml").unlink()
    assert inputs.digest() is None
