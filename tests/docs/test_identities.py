"""Each identity of docs/identities.md is in the file, and held by the tests, that the page names."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT, Page


@pytest.mark.parametrize("name", ["identities.md", "identities_cn.md"])
def test_code_and_tests_are_there(name: str) -> None:
    page = Page(ROOT / "docs" / name)
    sections = re.split(r"^## ", page.text, flags=re.M)[1:]
    assert len(sections) > 10
    for section in sections:
        (file,) = set(re.findall(r"\]\(\.\./(paddleseg_ext/[\w/]+\.py)\)", section))
        named = re.search(r"\), ((?:`\w+`(?:, )?)+)\.|\)，((?:`\w+`、?)+)。", section)
        assert named, section
        source = (ROOT / file).read_text("utf-8")
        for definition in re.findall(r"`(\w+)`", named[0]):
            assert re.search(rf"^(class|def) {definition}\b", source, re.M), f"{file}: {definition}"
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", section)
        assert tests, section
        for path, test in tests:
            assert f"\ndef {test}(" in (ROOT / path).read_text("utf-8"), f"{path}::{test}"


def test_both_languages_name_the_same() -> None:
    pages = [Page(ROOT / "docs" / name) for name in ("identities.md", "identities_cn.md")]
    names = [re.findall(r"`tests/[^`]+`|paddleseg_ext/[\w/]+\.py", page.text) for page in pages]
    assert names[0] == names[1]
