"""Every page is there in English and in Chinese, with the same headings, blocks of code, tables and links."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ENGLISH, INLINE, PAGES, ROOT, Page

twins = pytest.mark.parametrize("page", ENGLISH, ids=repr)


@twins
def test_headings(page: Page) -> None:
    twin = Page(page.twin)
    assert [level for level, _ in page.headings] == [level for level, _ in twin.headings]
    assert page.headings[0][0] == 1 and sum(level == 1 for level, _ in page.headings) == 1


@twins
def test_blocks_of_code_differ_in_comments_alone(page: Page) -> None:
    twin = Page(page.twin)
    assert [block.language for block in page.blocks] == [block.language for block in twin.blocks]
    for block, other in zip(page.blocks, twin.blocks):
        assert block.meaning == other.meaning, f"line {block.line}"


@twins
def test_tables_have_the_same_rows_and_columns(page: Page) -> None:
    shapes, others = ([[len(row) for row in table] for table in p.tables] for p in (page, Page(page.twin)))
    assert shapes == others


@twins
def test_tables_have_the_same_numbers(page: Page) -> None:
    """A figure that was brought up to date in one language alone is found."""
    for table, other in zip(page.tables, Page(page.twin).tables):
        for row, twin in zip(table, other):
            assert _numbers(row) == _numbers(twin), row


@twins
def test_the_same_code_is_named(page: Page) -> None:
    """Flags, keys, files and messages in backquotes: what one page tells of, the other does, too."""
    assert set(page.inline) == set(Page(page.twin).inline)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ENGLISH], ids=repr)
def test_chinese_has_chinese_punctuation(page: Page) -> None:
    text = INLINE.sub("`…`", re.sub(r"\]\([^)]*\)|max\([^)]*\)", "", page.prose))
    assert not re.findall(r"[\u4e00-\u9fff）”》][,;:!?(].{0,12}", text)


@twins
def test_chinese_lines_are_whole_paragraphs(page: Page) -> None:
    """A line break within a paragraph is shown as a space, which Chinese does not have."""
    chinese = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
    assert not re.findall(rf"{chinese}\n{chinese}", Page(page.twin).prose)


@twins
def test_links_lead_to_the_same_places(page: Page) -> None:
    def places(p: Page) -> list[str]:
        links = (target.partition("#")[0].replace("/en/", "/") for target in p.links)
        return sorted(re.sub(r"_cn(?=\.md)|_CN(?=\.md)", "", link) for link in links)

    twin = Page(page.twin)
    assert set(places(page)) - {page.path.name} == set(places(twin)) - {page.path.name}
    for one, other in ((page, twin), (twin, page)):
        name = other.path.name
        assert name in one.links, f"{one} does not lead to {name}"


def test_every_chinese_page_has_an_english_one() -> None:
    assert {page.twin for page in ENGLISH} == {page.path for page in PAGES if page not in ENGLISH}


def test_the_index_names_every_page() -> None:
    for name, suffix in (("README.md", ""), ("README_cn.md", "_cn")):
        index = Page(ROOT / "docs" / name)
        beside = [p.path for p in PAGES if p.path.parent == index.path.parent]
        pages = {path.name for path in beside if path.stem.endswith("_cn") == bool(suffix)}
        assert pages - {index.path.name} <= set(index.links)


def _numbers(row: list[str]) -> set[str]:
    text = re.sub(r"\]\([^)]*\)", "]", " ".join(row))  # less the addresses of links
    return set(re.findall(r"(?<![A-Za-z0-9_.])\d+(?:[.,]\d+)*(?![A-Za-z0-9_])", text))
