"""Watching a configuration's files: what is read when, what is taken over, what is kept."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from bridge import log, metrics
from bridge.config import Config, load
from bridge.process import Service
from bridge.reload import Reloader
from bridge.settings import Settings

LOOK_SECONDS = 0.1
MAIN = "version: 1\ninclude: rules/*.yaml\n"
SOURCE = "sources: {relay: {type: generic, auth: {type: bearer, secrets: [{file: PATH}]}}}\n"


class Watched:
    """A configuration in a directory, and everything that was made of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.write("rules/a.yaml", "rules: []\n")
        self.write("secret", "one-secret-of-16-bytes")
        self.main = self.write("bridge.yaml", MAIN + SOURCE.replace("PATH", str(place / "secret")))
        self.fails: list[Exception] = []
        self.meanwhile: list[Callable[[], object]] = []
        self.reads = 0
        self.adopted: list[Config] = []
        self.reloader = Reloader(self.read(), self.read, self.adopted.append, LOOK_SECONDS)
        self.reads = 0

    def write(self, name: str, text: str) -> Path:
        """Write a file as careful tools do: beside it, then over it."""
        path = self.place / name
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".new").write_text(text)
        return path.with_suffix(".new").replace(path)

    def read(self) -> Config:
        self.reads += 1
        if self.fails:
            raise self.fails.pop()
        try:
            return load(self.main, {})
        finally:
            for happen in self.meanwhile:
                happen()
            self.meanwhile.clear()

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(500):
            if holds():
                return
            await asyncio.sleep(0.02)
        pytest.fail("not within 10 s")

    async def looks(self) -> None:
        """Wait for as long as a change needs to be noticed."""
        await asyncio.sleep(LOOK_SECONDS * 4)


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    with log.kept_in_memory():
        yield


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    built = Watched(tmp_path)
    running = asyncio.create_task(built.reloader.run())
    yield built
    built.reloader.stop()
    await asyncio.wait_for(running, 5)


def measured(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"genesis_bridge_config_{name}", labels) or 0


async def test_nothing_changed_nothing_is_read(watched: Watched) -> None:
    """Not even at first, and not for a file that was only touched or made anew with the same bytes."""
    await watched.looks()
    os.utime(watched.main)
    watched.write("rules/a.yaml", "rules: []\n")
    await watched.looks()
    assert (watched.reads, watched.adopted) == (0, [])


async def test_a_change_between_reading_and_watching_is_found(tmp_path: Path) -> None:
    """Redis may take its time to start; what is written meanwhile counts."""
    built = Watched(tmp_path)
    built.write("rules/a.yaml", "# other\nrules: []\n")
    running = asyncio.create_task(built.reloader.run())
    await built.until(lambda: len(built.adopted) == 1)
    built.reloader.stop()
    await running


@pytest.mark.parametrize("name", ["bridge.yaml", "rules/a.yaml", "rules/new.yaml"])
async def test_a_change_of_any_file_is_read(watched: Watched, name: str) -> None:
    """The main file, an included one, and one that comes to match a pattern; once."""
    text = watched.main.read_text() if name == "bridge.yaml" else "rules: []\n"
    watched.write(name, f"# changed\n{text}")
    await watched.until(lambda: bool(watched.adopted))
    await watched.looks()
    [config] = watched.adopted
    assert watched.reads == 1
    assert config.hash == load(watched.main, {}).hash
    assert measured("info", hash=config.hash) == 1


async def test_a_removed_file_is_noticed(watched: Watched) -> None:
    """Its rules are gone."""
    watched.write("rules/b.yaml", "rules: []\n")
    await watched.until(lambda: len(watched.adopted) == 1)
    (watched.place / "rules/b.yaml").unlink()
    await watched.until(lambda: len(watched.adopted) == 2)
    assert len(watched.adopted[1].files) == 2


async def test_a_bad_file_keeps_the_last_good_one_and_says_so(watched: Watched) -> None:
    """It is told with its problems, and by two metrics, until the files are good again, if only by going back."""
    good, refused = watched.main.read_text(), measured("reloads_total", outcome="refused")
    with log.kept_in_memory() as lines:
        watched.write("bridge.yaml", f"{good}sorces: {{}}\n")
        await watched.until(lambda: watched.reloader.refused == 1)
    assert "bridge.yaml:4:1: unknown key 'sorces': did you mean 'sources'?" in lines.getvalue()
    assert (watched.adopted, measured("good")) == ([], 0)
    assert measured("reloads_total", outcome="refused") == refused + 1
    await watched.looks()
    assert watched.reads == 1
    watched.write("bridge.yaml", good)
    await watched.until(lambda: watched.reloader.refused == 0)
    assert len(watched.adopted) == 1
    assert measured("good") == 1


async def test_a_main_file_that_is_gone_keeps_the_last_good_one(watched: Watched) -> None:
    """Until it is there again."""
    text = watched.main.read_text()
    watched.main.unlink()
    await watched.until(lambda: watched.reloader.refused == 1)
    watched.write("bridge.yaml", text)
    await watched.until(lambda: watched.reloader.refused == 0)
    assert [config.hash for config in watched.adopted] == [load(watched.main, {}).hash]


async def test_each_warning_is_logged_when_it_is_new(tmp_path: Path) -> None:
    """At the start, and what a change adds; not the old ones over and over."""
    with log.kept_in_memory() as lines:
        built = Watched(tmp_path)
        running = asyncio.create_task(built.reloader.run())
        built.write(
            "rules/a.yaml", "engines: {e: {type: genesis, api_key: {file: " + f"{tmp_path / 'secret'}" + "}}}\n"
        )
        await built.until(lambda: bool(built.adopted))
        built.reloader.stop()
        await running
    logged = [msgspec.json.decode(line) for line in lines.getvalue().splitlines()]
    assert [line["what"].partition("bridge.yaml:")[2] or line["what"] for line in logged if "what" in line] == [
        "3:11: source 'relay': no rule takes its events",
        f"{tmp_path}/rules/a.yaml:1:11: engine 'e': no template runs on it",
    ]


async def test_a_new_bad_file_can_be_mended_on_its_own(watched: Watched) -> None:
    """What only the refused main file includes is watched as well."""
    watched.write("more.yaml", "rules: [\n")
    watched.write("bridge.yaml", watched.main.read_text().replace("rules/*.yaml", "more.yaml"))
    await watched.until(lambda: watched.reloader.refused == 1)
    await watched.looks()
    watched.write("more.yaml", "rules: []\n")
    await watched.until(lambda: bool(watched.adopted))
    assert [path.name for path in watched.adopted[-1].files] == ["bridge.yaml", "more.yaml"]


COMFY = """\
engines: {comfy: {type: comfy, api_key: {file: PATH}}}
templates: {shot: {engine: comfy, id: flow.json, variables: {prompt: {input: "6.text"}}}}
"""
FLOW = '{"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat"}}}'


@pytest.fixture
async def drawing(tmp_path: Path) -> AsyncIterator[Watched]:
    """Watch a configuration with a template whose workflow lies beside it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "flow.json").write_text(FLOW)
    (tmp_path / "rules/comfy.yaml").write_text(COMFY.replace("PATH", str(tmp_path / "secret")))
    built = Watched(tmp_path)
    running = asyncio.create_task(built.reloader.run())
    yield built
    built.reloader.stop()
    await asyncio.wait_for(running, 5)


async def test_a_workflow_that_changes_is_a_change(drawing: Watched) -> None:
    """Once; and made anew with the same bytes it is none."""
    drawing.write("flow.json", FLOW)
    await drawing.looks()
    assert (drawing.reads, drawing.adopted) == (0, [])
    drawing.write("flow.json", FLOW.replace("cat", "dog"))
    await drawing.until(lambda: bool(drawing.adopted))
    await drawing.looks()
    [config] = drawing.adopted
    assert drawing.reads == 1
    assert config.hash == load(drawing.main, {}).hash


async def test_a_workflow_that_no_longer_fits_keeps_the_last_good_one(drawing: Watched) -> None:
    """It is told with its place in the configuration, until the workflow is mended on its own."""
    with log.kept_in_memory() as lines:
        drawing.write("flow.json", FLOW.replace("text", "txt"))
        await drawing.until(lambda: drawing.reloader.refused == 1)
    assert "unknown input 'text': did you mean 'txt'?" in lines.getvalue()
    assert drawing.adopted == []
    drawing.write("flow.json", FLOW.replace("cat", "dog"))
    await drawing.until(lambda: bool(drawing.adopted))
    assert drawing.reloader.refused == 0


async def test_a_workflow_that_is_gone_keeps_the_last_good_one(drawing: Watched) -> None:
    """Until it is there again."""
    (drawing.place / "flow.json").unlink()
    await drawing.until(lambda: drawing.reloader.refused == 1)
    drawing.write("flow.json", FLOW)
    await drawing.until(lambda: drawing.reloader.refused == 0)
    assert [config.hash for config in drawing.adopted] == [load(drawing.main, {}).hash]


async def test_a_workflow_that_appears_after_a_refusal_is_noticed(watched: Watched) -> None:
    """Only the refused configuration names it: whoever copies the YAML first need not touch it again."""
    watched.write("rules/comfy.yaml", COMFY.replace("PATH", str(watched.place / "secret")))
    await watched.until(lambda: watched.reloader.refused == 1)
    await watched.looks()
    watched.write("flow.json", FLOW)
    await watched.until(lambda: bool(watched.adopted))
    assert watched.adopted[-1].attached == (watched.place / "flow.json",)


async def test_a_file_that_is_still_being_written_is_left_alone(watched: Watched) -> None:
    """Only what two looks find the same is read."""
    text = watched.main.read_text()
    with watched.main.open("w") as file:
        for line in [*["# line\n"] * 15, *text.splitlines(keepends=True)]:
            file.write(line)
            file.flush()
            await asyncio.sleep(LOOK_SECONDS * 0.3)
    await watched.until(lambda: bool(watched.adopted))
    assert watched.reads == 1


@pytest.mark.parametrize("text", ["rules: []\n# half\n", "rules: [\n"])
async def test_what_changes_while_it_is_read_is_neither_adopted_nor_told(watched: Watched, text: str) -> None:
    """It is half of one state and half of another; the whole of the other follows."""
    watched.meanwhile.append(lambda: watched.write("rules/a.yaml", "rules: []\n# whole\n"))
    with log.kept_in_memory() as lines:
        watched.write("rules/a.yaml", text)
        await watched.until(lambda: bool(watched.adopted))
    assert "config.refused" not in lines.getvalue()
    assert [config.hash for config in watched.adopted] == [load(watched.main, {}).hash]


async def test_asked_it_reads_everything_again_at_once(watched: Watched) -> None:
    """Also the secrets' files, which nothing in the configuration's own files tells of."""
    watched.write("secret", "two-secrets-of-16-bytes")
    watched.reloader.ask()
    await watched.until(lambda: bool(watched.adopted))
    [secret] = watched.adopted[0].sources["relay"].auth.secrets  # type: ignore[attr-defined]
    assert secret.reveal() == b"two-secrets-of-16-bytes"


async def test_a_symlink_that_is_swapped_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes changes a mounted ConfigMap: ..data leads to another directory, and every file with it."""
    for number in (1, 2):
        version = tmp_path / f"..{number}"
        version.mkdir()
        (version / "bridge.yaml").write_text(f"version: 1\ninclude: rules-*.yaml\n# {number}\n")
        (version / "rules-a.yaml").write_text("rules: []\n")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("bridge.yaml", "rules-a.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    adopted: list[Config] = []

    def read() -> Config:
        return load(tmp_path / "bridge.yaml", {})

    reloader = Reloader(read(), read, adopted.append, LOOK_SECONDS)
    running = asyncio.create_task(reloader.run())
    await asyncio.sleep(LOOK_SECONDS * 3)
    assert adopted == []
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    await asyncio.sleep(LOOK_SECONDS * 5)
    reloader.stop()
    await running
    assert [config.hash for config in adopted] == [read().hash]


async def test_reading_many_rules_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """Its longest stop is a small part of what reading five hundred rules on the loop itself would take."""
    one = "  - {{name: r{0}, source: relay, event: e{0}, when: [body.n == {0}], template: t}}\n"
    built = Watched(tmp_path)
    built.write("rules/a.yaml", "templates: {t: {engine: e, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}}\n")
    built.write("rules/e.yaml", f"engines: {{e: {{type: genesis, api_key: {{file: {tmp_path / 'secret'}}}}}}}\n")
    built.write("rules/r.yaml", "rules:\n" + "".join(map(one.format, range(500))))
    begun = time.perf_counter()
    built.read()
    alone = time.perf_counter() - begun
    running = asyncio.create_task(built.reloader.run())
    # The shortest of several: what the machine does beside this stops the loop as well, but not every time.
    longest = min([await longest_stop(built) for _ in range(4)])
    built.reloader.stop()
    await running
    assert len(built.adopted[-1].ruleset.rules) == 500
    assert longest < alone / 2


async def longest_stop(watched: Watched) -> float:
    """Ask for a reload; return for how many seconds at most the loop did not turn meanwhile."""
    watched.adopted.clear()
    watched.reloader.ask()
    longest, last = 0.0, time.perf_counter()
    while not watched.adopted:
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    return longest


async def test_a_defect_in_reading_is_logged_and_survived(watched: Watched) -> None:
    """The process goes on under the last good one, and goes on watching."""
    watched.fails.append(ZeroDivisionError("oops"))
    with log.kept_in_memory() as lines:
        watched.reloader.ask()
        await watched.until(lambda: "ZeroDivisionError" in lines.getvalue())
    assert watched.adopted == []
    watched.reloader.ask()
    await watched.until(lambda: bool(watched.adopted))


async def test_what_is_given_its_configuration_keeps_it(tmp_path: Path, redis_url: str) -> None:
    """The demo made its own: there is nothing to read again, and SIGHUP is no reason to end."""
    config = Watched(tmp_path).read()
    service = Service(Settings.load({}), config, redis_url, web=False, work=False)
    service.reload()
    with log.kept_in_memory() as lines:
        await service.run()
    assert [msgspec.json.decode(line)["event"] for line in lines.getvalue().splitlines()] == [
        "process.started",
        "process.stopped",
    ]
