"""What is installed is known, pinned and above the holes that are known."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.txt").read_text()
ENTRIES = re.findall(r"^([a-z][^ #]*)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", LOCK, re.MULTILINE)
PINS = {canonicalize_name(name): Version(version) for name, version, _ in ENTRIES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = {canonicalize_name(one.name): one for one in map(Requirement, PROJECT["dependencies"])}


def test_everything_is_pinned_with_hashes() -> None:
    """Every line is a version and its hashes, or a comment; what is compiled has one for each Python and processor."""
    rest = re.sub(r"^#.*\n", "", LOCK, flags=re.MULTILINE)
    for name, version, hashes in ENTRIES:
        rest = rest.replace(f"{name}=={version}{hashes}\n", "", 1)
    assert rest == ""
    assert len(PINS) == len(ENTRIES) >= 20
    by_name = {name: hashes.count("--hash") for name, _, hashes in ENTRIES}
    assert all(by_name[name] == 6 for name in ("hiredis", "httptools", "msgspec", "pyyaml", "uvloop"))


def test_the_pins_name_no_index() -> None:
    """Where packages come from is the builder's business."""
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|/(opt|tmp|home)/", LOCK)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_the_pins_are_what_the_project_wants(name: str) -> None:
    """`make lock` was run after the last change of pyproject.toml."""
    assert WANTED[name].specifier.contains(PINS[name]), f"{name}: run `make lock`"


def test_the_pins_are_all_there_is() -> None:
    """Whatever a pinned package needs is pinned too, so that nothing is installed without a hash."""
    for name in PINS:
        for text in requires(name) or ():
            needed = Requirement(text)
            # By the image's Python, whatever runs the tests: Debian's 3.11.2 would need async-timeout as well.
            if needed.marker is None or needed.marker.evaluate({"extra": "", "python_full_version": "3.11.3"}):
                pinned = PINS.get(canonicalize_name(needed.name))
                assert pinned is not None, f"{name} needs {needed.name}"
                assert needed.specifier.contains(pinned), f"{name} needs {needed}"


@pytest.mark.parametrize(
    ("name", "last_bad"),
    [
        (
            "litestar",
            "2.21.1",
        ),  # CVE-2026-48060, PYSEC-2026-2603, CVE-2026-25478 to -25480, CVE-2025-59152
        ("litestar", "2.22.99"),  # host header validation
        ("multipart", "1.3.0"),  # CVE-2026-28356
        ("redis", "4.5.3"),  # CVE-2023-28858, CVE-2023-28859
        ("hiredis", "3.4.0"),  # stack overflow by nested replies
        ("h11", "0.15.0"),  # CVE-2025-43859
        ("jinja2", "3.1.5"),  # CVE-2025-27516
        ("pyjwt", "2.15.0"),  # CVE-2026-32597, CVE-2026-48526 and others
    ],
)
def test_no_version_with_a_known_hole_is_allowed(name: str, last_bad: str) -> None:
    """Neither by pyproject.toml nor by the pins."""
    assert not WANTED[name].specifier.contains(last_bad)
    assert PINS[name] > Version(last_bad)


def test_what_is_only_pulled_in_is_not_used() -> None:
    """Redis-py brings PyJWT, for a login that we do not use."""
    for path in (ROOT / "bridge").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) jwt\b", path.read_text(), re.MULTILINE), path
    assert not WANTED["litestar"].extras


def test_the_bill_of_materials_lists_every_package_with_its_hash(tmp_path: Path) -> None:
    """The command of `make sbom`, run."""
    [recipe] = re.findall(r"^sbom: *; mkdir -p dist && (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = shlex.split(recipe.replace("dist/sbom.json", str(tmp_path / "sbom.json")))
    command[0] = str(Path(sys.executable).parent / command[0])
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    bill = msgspec.json.decode((tmp_path / "sbom.json").read_bytes())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "genesis-bridge"
    assert {canonicalize_name(one["name"]): Version(one["version"]) for one in bill["components"]} == PINS
    for one in bill["components"]:
        assert one["purl"].startswith("pkg:pypi/")
        assert any(reference.get("hashes") for reference in one["externalReferences"])
