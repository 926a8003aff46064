"""A Redis server to be mistreated: killed, cut off from its power, made a replica, its memory full."""

import os
import random
import shutil
import subprocess
from pathlib import Path

from tests.journey.redis_world import RedisServer

JOURNAL_SOURCE = Path(__file__).with_name("fsync_journal.c")
COMPILER = shutil.which("cc")
"""Without one no power can be lost."""


class Valkey(RedisServer):
    """A server whose syncs are written down, so that its power can be lost."""

    def __init__(self, place: Path, *, fsync: str = "everysec", fsync_takes_ms: int = 0) -> None:
        place.mkdir(parents=True)
        self._place = place
        self._journal = place / "fsync.journal"
        environ = {}
        if COMPILER:
            environ = {"LD_PRELOAD": str(_compiled(COMPILER, place)), "FSYNC_JOURNAL": str(self._journal)}
        if fsync_takes_ms:
            environ["FSYNC_TAKES_MS"] = str(fsync_takes_ms)
        super().__init__(place, f"appendfsync {fsync}", "maxmemory-policy noeviction", environ=environ)

    def lose_power(self, dice: random.Random) -> int:
        """End it as a power cut does: of what was not synced, some part at most is left; returns the bytes lost."""
        self.kill()
        synced = {}
        for line in self._journal.read_bytes().splitlines():
            inode, size = line.split()
            synced[int(inode)] = int(size)
        lost = 0
        for file in (self._place / "appendonlydir").glob("*.incr.aof"):
            size = file.stat().st_size
            sure = synced.get(file.stat().st_ino, 0)
            kept = dice.choice((sure, dice.randint(sure, size)))
            os.truncate(file, kept)
            lost += size - kept
        return lost


def _compiled(compiler: str, directory: Path) -> Path:
    built = directory / "fsync_journal.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, JOURNAL_SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return built
