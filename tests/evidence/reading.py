"""Pages as a reader who is no person takes them: links, tables, pictures."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
)


class Page(HTMLParser):
    """What a page refers to, and whether its elements are closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


class Tables(HTMLParser):
    """The cells of every table of a page, head first, and the texts of headings and items."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.said: list[str] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
            self.inside = True
        elif tag in ("h1", "p", "li"):
            self.said.append("")

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.tables[-1][-1][-1] += data
        elif self.said:
            self.said[-1] += data


def assert_links_lead_somewhere(site: Path) -> None:
    """From every page of a site, to files of it."""
    for path in site.rglob("*.html"):
        for address in Page(path.read_text()).addresses:
            if not address.startswith(("https://", "data:", "#")):
                assert (path.parent / address).is_file(), f"{path}: {address}"


def assert_a_browser_shows(page: Path, folder: Path) -> None:
    """On a phone's screen, without complaint; skips the test where there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("chromium is not installed")
    shot = folder / "shot.png"
    size, profile = "--window-size=390,844", f"--user-data-dir={folder / 'profile'}"
    command = [browser, *FLAGS, size, profile, f"--screenshot={shot}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    from PIL import Image

    with Image.open(shot) as picture:
        assert len(picture.convert("L").getcolors()) > 10
