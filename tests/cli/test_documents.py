"""What stands in the documentation is so: programs run, commands parse, links lead somewhere, names exist."""

from __future__ import annotations

import gc
import importlib
import json
import pkgutil
import re
import shlex

import pytest
import yaml
from tests.cli.documents import ROOT, Page, pages

from onebit.cli.main import COMMANDS, DONE, main
from onebit.cli.parse import parse
from onebit.core.registry import Registry
from onebit.ir.support import Rules

PROGRAMS = [page for page in pages() if any(language == "python" for language, _ in page.fences())]
LANGUAGES = {"python", "output", "console", "text", "json", "yaml", "c"}
NEEDS = {"docs/save.md": ["transformers"], "docs/export.md": ["qonnx"]}
# Quick ones run as they stand; the others are read by their parser only.
QUICK = ("list", "show", "support", "completion", "plot network", "run --example")


@pytest.fixture(scope="module")
def tables() -> list[dict]:
    """What every registry and every reader of graphs keeps."""
    for name in ("evidence.claims", "evidence.tracks", "nn.models", "deploy.export", "capture"):
        importlib.import_module(f"onebit.{name}")
    found = [o for o in gc.get_objects() if issubclass(type(o), (Registry, Rules))]
    return [getattr(o, name) for o in found for name in ("_items", "_papers", "_rules") if hasattr(o, name)]


@pytest.fixture
def unchanged(tables):
    """What a page registers is forgotten after it."""
    before = [(table, dict(table)) for table in tables]
    yield
    for table, content in before:
        table.clear()
        table.update(content)


@pytest.mark.parametrize("page", PROGRAMS, ids=str)
def test_the_program_of_the_page_runs(page, tmp_path, monkeypatch, capsys, unchanged):
    for package in NEEDS.get(page.name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    exec(compile(page.program(), page.name, "exec"), names)
    if "accuracy" in names:
        assert names["accuracy"] > 0.5, "ten classes: a network that learned anything is far above 0.1"
    said = capsys.readouterr().out
    printed = [line.rstrip() for line in said.splitlines()]
    for block in page.outputs():
        for line in block.splitlines():
            wanted = re.compile(".*".join(map(re.escape, line.split("..."))))
            assert any(wanted.fullmatch(found) for found in printed), line
    for line in re.findall(r"print\(error\)\s+# (.*)", page.text):
        assert line in said


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_block_says_what_language_it_is_in(page):
    for language, block in page.fences():
        assert language in LANGUAGES, block
        if language == "json":
            json.loads(block)
        if language == "yaml":
            yaml.safe_load(block)


def _all_commands() -> list[tuple[str, list[str]]]:
    found: dict[str, tuple[str, list[str]]] = {}
    for page in pages():
        for words in page.commands():
            found.setdefault(shlex.join(words), (page.name, words))
    return list(found.values())


def test_there_are_commands_in_the_pages_and_the_test_finds_them():
    found = {words[0] for _, words in _all_commands()}
    assert set(COMMANDS) <= found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_a_command_in_the_pages_is_understood_by_it(name):
    module, _, attribute = COMMANDS[name].target.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    for page, words in _all_commands():
        if words[0] == name and len(words) > 1 and not {"--help", "COMMAND"} & set(words):
            assert parse(function, words[1:], f"{page}: onebit {name}") is not None


def test_every_command_that_the_pages_name_is_one():
    for page, words in _all_commands():
        assert words[0] in COMMANDS, (page, words)


def test_every_make_target_that_the_pages_name_is_one():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        for name in re.findall(r"(?:`|^ {4})make ([a-z]+)", page.text, re.MULTILINE):
            assert name in targets, (page, name)


@pytest.mark.parametrize("start", QUICK)
def test_quick_commands_of_the_pages_run(start, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran = 0
    for _, words in _all_commands():
        # those that name a file of the reader's have none here
        theirs = any(word.endswith((".onebit", ".png")) for word in words)
        if shlex.join(words).startswith(start) and len(words) > 1 and not theirs:
            assert main(words) == DONE, words
            ran += 1
    assert ran
    capsys.readouterr()


def test_the_page_of_commands_has_a_row_for_every_command():
    rows = set(re.findall(r"^\| `onebit ([a-z]+)", Page("docs/commands.md").text, re.MULTILINE))
    assert rows == set(COMMANDS)


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page):
    for target in page.links():
        path, _, anchor = target.partition("#")
        # a page that stands in docs/ by a link is read there
        file = page.path.parent / path if path else page.path
        if _drawn(str(file.resolve().relative_to(ROOT))):
            continue
        assert file.exists(), target
        if anchor:
            assert anchor in Page(str(file.resolve().relative_to(ROOT))).anchors(), target


def _drawn(path: str) -> bool:
    """Whether `make docs` draws the picture at ``path``."""
    from onebit.nn import operators

    return path == "docs/operators.svg" or path in {f"docs/operators/{name}.svg" for name in operators.registry}


@pytest.mark.parametrize("page", [page for page in pages() if page.objects()], ids=str)
def test_every_name_on_an_api_page_exists(page):
    for name in page.objects():
        assert pkgutil.resolve_name(name) is not None


def test_every_operator_has_its_picture_beside_its_docstring():
    from onebit.nn import operators

    text = Page("docs/api/operators.md").text
    found = dict(re.findall(r"!\[[^\]]*\]\(\.\./operators/([\w-]+)\.svg\)\n\n::: onebit\.nn\.operators\.(\w+)", text))
    assert found == {name: cls.__name__ for name, cls in operators.registry.items()}


def test_every_public_room_has_an_api_page():
    import onebit

    documented = {name for page in pages() for name in page.objects()}
    for name in ("ir", "runtime", "data", "learn", "capture", "deploy", "evidence"):
        assert name in onebit.__all__
        assert any(found == f"onebit.{name}" or found.startswith(f"onebit.{name}.") for found in documented), name


def test_the_navigation_names_every_page_once():
    def names(part) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [name for item in (part if isinstance(part, list) else part.values()) for name in names(item)]

    found = names(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(found) == sorted(page.name.removeprefix("docs/") for page in pages() if page.name.startswith("docs/"))


def test_the_citation_names_the_version_and_the_licence_of_the_package():
    import onebit

    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (said["version"], said["license"]) == (onebit.__version__, "Apache-2.0")
    assert {"cff-version", "message", "title", "authors"} <= set(said)


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("    onebit list models\n", [["list", "models"]]),
        ("    onebit claim biper --statement 2                 re-check\n", [["claim", "biper", "--statement", "2"]]),
        ("as `onebit show biper` says\n", [["show", "biper"]]),
        ("    A=b torchrun --nproc 2 -m onebit.cli train --data digits\n", [["train", "--data", "digits"]]),
        ("```text\n    onebit nothing\n```\n`onebit.show`\n", []),
    ],
)
def test_commands_are_found_in_blocks_and_between_backticks(text, commands, monkeypatch):
    monkeypatch.setattr(Page, "text", text)
    assert Page("x").commands() == commands


def test_headings_become_the_anchors_that_links_use(monkeypatch):
    monkeypatch.setattr(Page, "text", "# Schemes and `quantize_`\n\n```text\n# no\n```\n## What's *exact*, where\n")
    assert Page("x").anchors() == {"schemes-and-quantize_", "whats-exact-where"}
