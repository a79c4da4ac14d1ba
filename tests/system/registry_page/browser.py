"""Chromium without a screen, by selenium: Debian's packages chromium and chromium-driver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WIDE, PHONE, MAGNIFIED = (1280, 900), (390, 844), (320, 256)
"""Widths and heights; the last is what 1280 by 1024 becomes at 400 %."""


class Browser:
    """One window. Addresses are paths of the registry."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def path(self) -> str:
        return str(self.driver.current_url).removeprefix(self.url)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def link(self, text: str) -> Any:
        return self.driver.find_element("link text", text)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def until(self, script: str, *arguments: Any) -> Any:
        """Waits for a script to return something true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 20, 0.05).until(lambda _driver: self.run(script, *arguments))

    def show_as(self, scheme: str = "light", size: tuple[int, int] = WIDE) -> None:
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )

    def scripts(self, enabled: bool) -> None:
        self.cdp("Emulation.setScriptExecutionDisabled", value=not enabled)

    def complaints(self) -> list[str]:
        """What the console has of errors: a violated policy, a script's exception, a file that is missing."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def picture(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))


def open_browser(url: str, directory: Path) -> Iterator[Browser]:
    """A browser that is closed in the end; skips where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("--headless=new", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={directory}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        # Chromium's sandbox refuses root; what is looked at is our own, on this machine.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(programs[1]))
    try:
        yield Browser(driver, url)
    finally:
        driver.quit()
