"""The programs in the README and the tutorial run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def program(document: str) -> str:
    """All Python blocks of a page, one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_the_program_of_the_page_runs(document, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = program(document)
    assert code
    names: dict = {}
    exec(compile(code, document, "exec"), names)
    assert names["accuracy"] > 0.5, "ten classes: a network that learned anything is far above 0.1"


def test_the_program_about_saving_runs_and_names_what_does_not_fit(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    code = program("docs/save.md")
    exec(compile(code, "docs/save.md", "exec"), {})
    (said,) = re.findall(r"print\(error\)\s+# (.*)", code)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "document",
    ["README.md", "docs/index.md", "docs/tutorial.md", "docs/save.md", "docs/commands.md", "CONTRIBUTING.md"],
)
def test_every_file_that_a_page_links_to_is_there(document):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / document).read_text()):
        if "://" not in target and not target.endswith("operators.svg"):  # the picture is drawn by `make docs`
            assert (folder / target).exists(), target
