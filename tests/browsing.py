"""A real browser for the tests of pages."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver

PACKAGES = ["chromium", "chromium-driver"]


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a headless Chromium; on a fresh machine, install it first."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *PACKAGES]):
            if subprocess.run(["apt-get", *command], check=False, capture_output=True).returncode:
                pytest.fail(f"the page is tested in a browser: apt-get install {' '.join(PACKAGES)}")
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def shown_at(browser: Any, width: int, url: str) -> None:
    """Open a page in a window of `width` pixels, below 600 as on a phone."""
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url)
