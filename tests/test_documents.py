"""Every Python block of README.md and docs/*.md runs, in order, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import documents
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
COMMANDS = {
    "main job": r'pip install -e "\.\[examples\]" && python examples/07_mlp_digits\.py',
    "install for tests": r'pip install -e "\.\[test\]"',
    "tests": r"pytest -n 2",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)                          # files that a page writes are gone afterwards
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in documents.blocks(page.read_text(encoding="utf-8")):
        documents.run(block, page, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_readme_has_the_commands(command: str) -> None:
    assert re.search(rf"^{command}$", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)


def test_readme_opens_with_ten_lines_of_code() -> None:
    first = documents.blocks(PAGES[0].read_text(encoding="utf-8"))[0]
    assert len([line for line in first.code.splitlines() if line.strip()]) <= 10
    assert first.output is not None and "2*x*(a*x + b - y)" in first.output


def test_the_pages_that_must_have_blocks_have_them() -> None:
    counts = {page.name: len(documents.blocks(page.read_text(encoding="utf-8"))) for page in PAGES}
    assert counts["README.md"] >= 6 and counts["api.md"] >= 10 and counts["conventions.md"] >= 3


BAD = {
    "a wrong text block": "```python\nprint(1)\n```\n\n```text\n2\n```\n",
    "a wrong comment": "```python\nprint(1)\n# 2\n```\n",
    "a missing line": "```python\nprint(1); print(2)\n```\n\n```text\n1\n```\n",
    "an error nobody announced": "```python\nimport sympile as sm\nsm.compile(1, 'a')\n```\n",
    "no error where one is announced": "```python\n1\n```\n\n```text\nShapeError: no\n```\n",
    "a broken block": "```python\n1/0\n```\n",
}


@pytest.mark.parametrize("page", BAD.values(), ids=BAD)
def test_the_judge_can_say_no(page: str) -> None:
    with pytest.raises(Exception):  # noqa: B017
        for block in documents.blocks(page):
            documents.run(block, Path("bad.md"), {})


def test_the_judge_can_say_yes() -> None:
    page = "```python\nprint(1)\n# 1\nprint(2)\n```\n\n```text\n2\n```\n"
    (block,) = documents.blocks(page)
    documents.run(block, Path("good.md"), {})
