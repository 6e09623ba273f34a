"""Where the files of the data sets are: the folders that are searched, and the downloads."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onebit.core.errors import require
from onebit.core.files import atomic


class DataNotFound(FileNotFoundError):
    """The files of a data set cannot be had; the text says where they were looked for and how to get them."""


@dataclass(frozen=True)
class Remote:
    """A published file.

    Args:
        file: its name.
        urls: where it is published, the first choice first; empty: it cannot be downloaded.
        checksum: ``"md5:..."`` or ``"sha256:..."`` as published.
    """

    file: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None


@dataclass(frozen=True)
class Sources:
    """The folders that are searched, in order, and whether a download is allowed.

    Args:
        folders: each holds data sets in folders of their names.
        cache: where downloads go; searched last.
        download: whether missing files may be downloaded.
    """

    folders: tuple[Path, ...]
    cache: Path
    download: bool = True

    @classmethod
    def search(cls, folder: str | Path | None = None, download: bool = True) -> Sources:
        """The usual places, as :func:`onebit.data.load` names them."""
        folders = []
        named = os.environ.get("ONEBIT_DATA", "")
        for path, said in ((folder, "folder"), (named, "ONEBIT_DATA")):
            if path:
                if not Path(path).is_dir():
                    raise ValueError(f"{said} must name a folder with data sets, got {str(path)!r}, which is no folder")
                folders.append(Path(path))
        folders += [Path("data"), Path("..", "shared", "data")]
        checkout = Path(__file__).resolve().parents[3]
        if (checkout / "pyproject.toml").is_file():
            beside = checkout.parent / "shared" / "data"
            if beside not in [path.resolve() for path in folders]:
                folders.append(beside)
        return cls(tuple(folders), _cache(), download)

    def find(self, names: Sequence[str], files: Sequence[str]) -> Path | None:
        """The first of ``files`` in the first folder that has one; a folder is searched under each of ``names``."""
        for folder in (*self.folders, self.cache):
            for name in names:
                for file in files:
                    path = folder / name / file
                    if path.is_file():
                        return path
        return None

    def fetch(self, remote: Remote, names: Sequence[str], others: Sequence[str] = (), how: str = "") -> Path:
        """The path of a file: found, or downloaded into the cache, checked, and only then given its name.

        Args:
            remote: the file.
            names: folders the set may lie in, its own name first.
            others: other names the file may have (the unpacked form).
            how: a phrase for the error that says where a person gets the file.

        Raises:
            DataNotFound: it is nowhere and could not be downloaded.
            OSError: the cache cannot be written.
        """
        found = self.find(names, (remote.file, *others))
        if found is not None:
            return found
        looked = ", ".join(str(folder / names[0]) for folder in (*self.folders, self.cache))
        trouble = "downloads were not allowed" if remote.urls else "it is not published for download"
        if self.download and remote.urls:
            target = self.cache / names[0] / remote.file
            failures = []
            for url in remote.urls:
                try:
                    _download(url, remote.checksum, target)
                    return target
                except (OSError, ValueError) as error:  # errors of requests are OSErrors, a wrong checksum a ValueError
                    if isinstance(error, OSError) and error.filename == str(target):
                        raise  # no server is to blame
                    failures.append(f"{url}: {_reason(error)}")
            trouble = "; ".join(failures)
        how = how or (f"download it from {remote.urls[0]}" if remote.urls else "")
        raise DataNotFound(
            f"{remote.file} of data set {names[0]!r} was not found in {looked} ({trouble}): {how or 'get it'} and put "
            f"it into a folder {names[0]!r} inside a folder that ONEBIT_DATA names"
        )


def _download(url: str, checksum: str | None, target: Path) -> None:
    """Download ``url``, check it, and only then give it its name."""
    pooch = require("pooch", "train", f"downloading {target.name}")
    pooch.get_logger().setLevel(logging.ERROR)
    with atomic(target) as part:
        pooch.downloaders.choose_downloader(url)(url, str(part), None)
        pooch.hashes.hash_matches(str(part), checksum, strict=True, source=target.name)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".cache") / "onebit" / "data"


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, ValueError) and "hash" in text.lower():
        return "the file that came has a wrong checksum"
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code}"
    if type(error).__name__ in ("ConnectionError", "ConnectTimeout"):
        return "no connection"
    text = text.splitlines()[0] if text else type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}..."
