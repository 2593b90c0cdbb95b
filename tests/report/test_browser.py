"""The page in a real browser: no error, no request, no scrolling sideways, both themes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from selenium import webdriver

from hermes_train.report import write_report

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.fail("the report is tested in a real browser: apt-get install -y chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    # Leave the browser's own first page, whose loading would stand in the logs.
    chrome.get("about:blank")
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Path]) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "demo"))


def visit(browser: webdriver.Chrome, page: Path, width: int = 1280, theme: str = "light") -> None:
    """Open the page for a window of `width` CSS pixels and a reader of that theme; forget earlier logs."""
    for kind in ("browser", "performance"):
        log(browser, kind)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """Return what was logged since the last call."""
    # Selenium declares no types for this method.
    entries: list[dict[str, Any]] = cast(Any, browser).get_log(kind)
    return entries


def requests(browser: webdriver.Chrome) -> list[str]:
    """Return the addresses asked for since the page was opened, without inline data and the browser's own."""
    messages = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in asked if not address.startswith(("data:", "chrome:"))]


def test_the_page_opens_without_an_error_and_without_any_request(
    browser: webdriver.Chrome, finished: Path
) -> None:
    visit(browser, finished)

    assert browser.title == "demo \u00b7 run report"
    assert log(browser, "browser") == []
    assert requests(browser) == [finished.as_uri()]


def test_the_page_of_a_real_run_opens_without_an_error(browser: webdriver.Chrome, finished_run: Path) -> None:
    page = finished_run / "report.html"

    visit(browser, page)

    assert browser.title == "smoke \u00b7 run report"
    assert log(browser, "browser") == []
    assert requests(browser) == [page.as_uri()]
    assert "not done" not in browser.find_element("css selector", "header").text


def test_the_browser_log_would_show_an_error(browser: webdriver.Chrome, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<script>throw new Error('seen')</script><img src='missing.png'>", encoding="utf-8")

    visit(browser, broken)

    assert any("seen" in entry["message"] for entry in log(browser, "browser"))
    assert len(requests(browser)) == 2


def test_an_attack_in_the_samples_runs_nothing_and_asks_for_nothing(
    browser: webdriver.Chrome,
    tmp_path: Path,
    write_run: Callable[..., Path],
    poison: Callable[[Path], None],
) -> None:
    folder = write_run(tmp_path / "run")
    poison(folder)
    page = write_report(folder)

    visit(browser, page)

    assert log(browser, "browser") == []
    assert requests(browser) == [page.as_uri()]
    assert browser.execute_script("return document.images.length") == 0


@pytest.mark.parametrize("width", [1280, 820, 420])
def test_the_page_never_scrolls_sideways(browser: webdriver.Chrome, finished: Path, width: int) -> None:
    visit(browser, finished, width=width)

    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "what", ["h1", ".lead", ".time figcaption", "td.n.zero", ".verified .mark", "td.bad"]
)
def test_text_can_be_read_in_both_themes(
    browser: webdriver.Chrome, finished: Path, theme: str, what: str
) -> None:
    visit(browser, finished, theme=theme)
    paper, ink = browser.execute_script(
        "return [getComputedStyle(document.body).backgroundColor,"
        "        getComputedStyle(document.querySelector(arguments[0])).color]",
        what,
    )

    assert contrast(paper, ink) >= 4.5
    assert (luminance(paper) > 0.5) == (theme == "light")


def contrast(one: str, other: str) -> float:
    """Return the contrast of two CSS colours such as "rgb(18, 21, 27)", by WCAG's definition: 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_fold_opens_for_printing_and_closes_again(browser: webdriver.Chrome, finished: Path) -> None:
    visit(browser, finished)
    count_open = "return document.querySelectorAll('details.thought[open]').length"
    assert browser.execute_script(count_open) == 0

    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(count_open) > 0

    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(count_open) == 0
