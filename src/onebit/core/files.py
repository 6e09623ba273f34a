"""Files that are either whole or not there, and folders that one process works in at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without advisory locks: parts of dead writers stay, folders are not guarded
    fcntl = None  # type: ignore[assignment]

PART = ".part"


class InUse(OSError):
    """Another process works in the folder; the text names it."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends without an error.

    The data reaches the disk before the name does. A reader sees the old file or the new one, never half of one; after
    an error the old one is untouched and nothing is left behind. A process that is killed in the block leaves its
    temporary file, ``.NAME.XXXXXXXXXXXXXXXX.part``; the next write to the same name removes it. A temporary file is
    locked as long as its writer lives, so that of a living one is never removed.

    Args:
        path: of a regular file, there already or not; a link is followed.

    Raises:
        OSError: the file cannot be written (disk full, no permission, read-only, folder gone); it names ``path``.
    """
    path = Path(path)
    with _naming(path, None):
        target = _regular(path)
        _make_folder(target.parent)
        remove_stale(target.parent, target.name)
    # Its name is known before there is a file, so that an interruption while it is made leaves nothing either.
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}{PART}")
    handle = None
    try:
        with _naming(path, part):
            handle = _locked(part)
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)
            part.replace(target)
            sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic(path) as part:
        part.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def remove_stale(folder: str | Path, name: str | None = None) -> None:
    """Remove temporary files that killed writers left in ``folder``: those for ``name``, or all of them."""
    folder = Path(folder)
    if fcntl is None or not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(PART)]
    for found in names:
        if not found.startswith("." if name is None else f".{name}."):
            continue
        with contextlib.suppress(OSError):  # locked: its writer lives; gone: somebody else removed it
            handle = os.open(folder / found, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(folder / found)
            finally:
                os.close(handle)


@contextlib.contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Make ``folder`` and keep other processes out of it while the block runs.

    The claim ends with the process, however that ends; nothing is left in the folder.

    Raises:
        InUse: another process has claimed it.
        OSError: it cannot be made.
    """
    folder = Path(folder)
    _make_folder(folder)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{folder} is in use by another process: wait for it, or choose another folder") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` reach the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _regular(path: Path) -> Path:
    """Where ``path`` leads; ``OSError`` where something stands there that is no regular file."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        # Renaming over it would replace a device by a file.
        raise OSError(errno.EINVAL, "is a device or a pipe, not a file", str(path))
    return target


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        above = next(p for p in (folder, *folder.parents) if p.exists())
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(above)) from None


def _locked(part: Path) -> int:
    """Make the file ``part`` and lock it."""
    while True:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # another writer took it for stale before it was locked


@contextlib.contextmanager
def _naming(path: Path, part: Path | None) -> Iterator[None]:
    """Errors of writing name the file that was asked for instead of the temporary one."""
    try:
        yield
    except OSError as error:
        other = part is not None and error.filename not in (None, part, str(part))
        if other or error.errno in (None, errno.ENOTDIR):  # of another file, or said better already
            raise
        if error.errno == errno.ENOENT:
            raise FileNotFoundError(f"{path} cannot be written: its folder does not exist") from error
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error
