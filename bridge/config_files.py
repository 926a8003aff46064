"""Which files a configuration is read from, and whether they are still what they were when it was read.

Looking at the files again and again is preferred to the kernel's notices (inotify): those are lost on network file
systems and in many containers, and have to be set up anew whenever a directory or a symlink is replaced, as
Kubernetes does with every change of a ConfigMap. A look is one stat for each file (docs/decisions/0008-reload.md).
"""

import glob
import hashlib
from pathlib import Path

from msgspec import Struct

Stamp = dict[str, tuple[int, ...] | None]
"""What tells one state of the files from another without reading them."""

HASH_DIGITS = 16


def matching(main: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern of the main file's `include:` names, in the order they are read in."""
    # glob rather than Path.glob, which raises on absolute patterns and on `..`.
    names = glob.glob(pattern, root_dir=main.parent, recursive=True)  # noqa: PTH207
    return sorted(file for file in (main.parent / name for name in names) if file.is_file())


class Inputs(Struct, frozen=True):
    """A main file, the patterns of what it includes, and what templates read beside that."""

    main: Path
    patterns: tuple[str, ...] = ()
    attached: tuple[Path, ...] = ()

    def files(self) -> list[Path]:
        """Return the files there are now, each once, in the order they are read in."""
        found = [file for pattern in self.patterns for file in matching(self.main, pattern)]
        return [*dict.fromkeys([self.main, *found]), *self.attached]

    def stamp(self) -> Stamp:
        """Return what the file system says of each file; symlinks are followed, for their target is what is read."""
        return {str(file): _stat(file) for file in self.files()}

    def digest(self) -> str | None:
        """Return what `Config.hash` is of the files as they are now; None while one cannot be read."""
        digest = hashlib.sha256()
        try:
            for file in self.files():
                digest.update(file.read_bytes())
        except OSError:
            return None
        return digest.hexdigest()[:HASH_DIGITS]


def _stat(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    # The inode changes when a file is replaced, ctime also when a tool puts the old mtime back.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
