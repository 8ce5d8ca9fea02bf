"""A real browser without a window, for pages that the package writes: Debian's chromium with chromium-driver."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    *("--disable-dev-shm-usage", "--force-device-scale-factor=1", "--no-proxy-server"),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a page that asks for anything in the network gets an error
)
CHROMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """A file that the browser shows.

    Attributes:
        driver: Selenium's own, for everything else.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.messages: list[dict[str, Any]] = []  # the console's so far

    def open(self, path: str | Path) -> Page:
        """Show a file; what the console said about an earlier one is forgotten."""
        self.console()
        self.messages.clear()
        self.driver.get(Path(path).resolve().as_uri())
        return self

    def all(self, selector: str) -> list[Any]:
        """The elements of a CSS selector, in the page's order."""
        return self.driver.find_elements("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """What a reader sees in the elements of a selector."""
        return [element.text for element in self.all(selector)]

    def run(self, script: str, *arguments: Any) -> Any:
        """What a JavaScript function body returns."""
        return self.driver.execute_script(script, *arguments)

    def scheme(self, name: str) -> None:
        """Let the reader prefer `dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def console(self) -> list[dict[str, Any]]:
        """What the console said since the page was opened: `level` and `message` of each."""
        self.messages += self.driver.get_log("browser")
        return self.messages

    def check(self) -> None:
        """Fail if the console told of an error: an exception, a refused script, a resource that is missing."""
        severe = [entry["message"] for entry in self.console() if entry["level"] == "SEVERE"]
        assert not severe, severe

    def screenshot(self, path: str | Path, width: int = 1280, height: int | None = None) -> None:
        """Write a PNG file of the page, all of it unless a `height` is given."""
        self.driver.set_window_size(width, height or 800)
        if height is None:
            # the window's own frame takes some of its size
            self.driver.set_window_size(width, self.run("return document.documentElement.scrollHeight") + 200)
        assert self.driver.save_screenshot(str(path))


@contextmanager
def browser() -> Iterator[Page]:
    """A browser with nothing of an earlier one; skips the test where there is none.

    It costs about a second: a test module starts one for all its tests, in a fixture of scope `module`.
    """
    chrome = next(filter(None, map(shutil.which, CHROMES)), None)
    driver = shutil.which("chromedriver")
    if not chrome or not driver:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("needs selenium: the extra [test]")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="browser", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,800"):
            options.add_argument(flag)
        session = webdriver.Chrome(options, Service(driver))
        try:
            yield Page(session)
        finally:
            session.quit()
