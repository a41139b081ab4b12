"""A headless Chromium, driven by Selenium; and reports to be opened in it.

Where there is no Chromium, or no Selenium, the tests are skipped and say so; where `REQUIRE_BROWSER` is set, as
continuous integration sets it, they fail.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer as tr
from tests.browser import sample
from tracer.report import Report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,900",
)


def _missing() -> str | None:
    """Why there is no browser; None if there is one."""
    try:
        import selenium  # noqa: F401 (whether it is there)
    except ImportError:
        return "Selenium is not installed: pip install 'tracer-xla[browser]'"
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not on the PATH: apt-get install chromium chromium-driver"
    return None


class Browser:
    """A page in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        """Open a page, and wait until its script has run."""
        from selenium.webdriver.support.wait import WebDriverWait

        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        WebDriverWait(self.driver, 60).until(
            lambda _: self.run("return document.documentElement.dataset.ready")
        )

    def run(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(script, *args)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements, as they are in the document."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )
        return found

    def text(self, selector: str) -> str:
        (found,) = self.texts(selector)
        return found

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def move(self, selector: str, *, click: bool = False) -> None:
        """Move the mouse to the left part of an element, which is in view, and click there."""
        from selenium.webdriver.common.action_chains import ActionChains

        box = self.run(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left, b.top, b.height]",
            selector,
        )
        chain = ActionChains(self.driver)
        chain.w3c_actions.pointer_action.move_to_location(int(box[0] + 60), int(box[1] + box[2] / 2))
        if click:
            chain.w3c_actions.pointer_action.click()
        chain.perform()

    def requests(self) -> list[str]:
        """Addresses that the page has asked for since it was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextlib.contextmanager
def browser_in(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in an empty folder."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def _session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if (reason := _missing()) is not None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with browser_in(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def browser(_session: Browser) -> Iterator[Browser]:
    """The browser, in a window and a scheme that every test finds alike."""
    _session.driver.set_window_size(1440, 900)
    emulate(_session, "light")
    yield _session


def emulate(browser: Browser, scheme: str) -> None:
    """The colour scheme that the user prefers."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture(scope="session")
def report() -> Report:
    """Of a training step with a loop."""
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in sample.SHAPES.items()}
    xs = rng.normal(size=(20, 8, 16)).astype(np.float32)
    return tr.explain(tr.value_and_grad(sample.loss))(params, xs)


@pytest.fixture(scope="session")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.save(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


Opener = Callable[[Report], Browser]


@pytest.fixture
def opener(browser: Browser, tmp_path: Path) -> Opener:
    """Saves a report and opens it."""

    def open_report(made: Report) -> Browser:
        browser.open(made.save(tmp_path / "page.html"))
        return browser

    return open_report
