"""The documents: links lead somewhere, commands exist, and the reference is what the tables say."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the tests run without the documents")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:src|tests|docs|bench|examples|\.ci|\.github|backends)/[\w./-]+)`")


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def anchors(text: str) -> set[str]:
    """Names of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+)$", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    """Links within the project that lead nowhere, and names of files that are not there."""
    text = page.read_text(encoding="utf-8")
    found = []
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    for name in PATH.findall(text):
        if not any((base / name).exists() for base in (ROOT, ROOT / "src" / "fastnet")):
            found.append(name)
    return found


def test_links_lead_somewhere() -> None:
    assert len(pages()) > 10
    assert {page.name: broken_links(page) for page in pages() if broken_links(page)} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n[a](#one) [b](#two) [c](page.md#one) [d](no.md) `tests/no.py` `tests/test_docs.py`"
    )
    assert broken_links(page) == ["#two", "no.md", "tests/no.py"]


def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current() -> None:
    made = make_reference().reference()
    assert "`leaky_relu`" in made and "`Rprop(" in made
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == made, "run: python docs/make_reference.py"


def commands(text: str) -> list[str]:
    """Lines of a page's shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_commands_for_contributors_exist() -> None:
    """Programs, scripts and tests that CONTRIBUTING.md names; what they do is tested elsewhere."""
    found = commands((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    tools = {
        re.match(r"[\w-]+", requirement)[0] for requirement in extras["dev"]
    }  # not installed for tests alone
    assert len(found) >= 3
    for line in found:
        program, *arguments = [word for word in line.split() if "=" not in word.split("/")[0]]
        known = program in tools or program == "."
        assert known or (ROOT / program).is_file() or shutil.which(program), line
        for word in arguments:
            if word.endswith((".py", ".md")):
                assert (ROOT / word).is_file(), line


def test_decisions_are_numbered_and_have_their_sections() -> None:
    records = sorted((DOCS / "decisions").glob("*.md"))
    assert [page.name[:4] for page in records] == [f"{i:04}" for i in range(1, len(records) + 1)]
    for page in records:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]} "), page.name
        titles = re.findall(r"^## (.+)$", text, flags=re.M)
        assert titles[:3] == ["Context", "Decision", "Consequences"], page.name
