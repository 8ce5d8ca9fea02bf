"""Every link within the repository leads to a file, and every anchor to a heading."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, SINGLE, Page, english


@pytest.mark.parametrize("page", [*PAGES, *SINGLE], ids=repr)
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        address, _, anchor = unquote(link).partition("#")
        if "://" in address:
            continue
        target = (page.path.parent / address).resolve() if address else page.path
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in Page(target).anchors, f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_links_stay_within_the_language(page: Page) -> None:
    """But for the line below the title, which leads to the other one."""
    mine = english(page.path)
    for link in page.links:
        target = (page.path.parent / link.partition("#")[0]).resolve()
        twins = {p.path for p in PAGES}
        if target in twins and target not in (page.path, page.twin) and mine is not english(target):
            other = Page(target)
            assert page.path in (other.twin, other.path), f"{page}: {link} is in the other language"
