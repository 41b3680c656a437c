"""A browser without a window for tests: Chromium over WebDriver, which is plain HTTP with JSON."""

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
KEYS = {"Escape": "\ue00c", "Enter": "\ue007", "ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Tab": "\ue004"}
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1000,1200"),
)
START_LINES = 20
WAIT_S = 60


class Browser:
    """One window; ``with`` ends the browser and its driver."""

    def __init__(self, profile: Path) -> None:
        """Start with an empty profile directory."""
        self._driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
        lines = (self._driver.stdout.readline() for _ in range(START_LINES))
        port = next(match[1] for line in lines if (match := re.search(r"started successfully on port (\d+)", line)))
        self._root = f"http://127.0.0.1:{port}/session"
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._root += f"/{self._call('', capabilities={'alwaysMatch': wanted})['sessionId']}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        request = urllib.request.Request(self._root, method="DELETE")
        urllib.request.urlopen(request, timeout=WAIT_S).close()
        self._driver.terminate()
        self._driver.wait()
        self._driver.stdout.close()

    def open(self, address: str) -> None:
        """Load a page."""
        self._call("/url", url=address)

    def run(self, script: str, *arguments: object) -> object:
        """What the body of a function returns in the page."""
        return self._call("/execute/sync", script=script, args=arguments)

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other: characters, or names of KEYS."""
        codes = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": code} for code in codes for kind in ("keyDown", "keyUp")]
        self._call("/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def command(self, name: str, **parameters: object) -> object:
        """A command of the DevTools protocol."""
        return self._call("/goog/cdp/execute", cmd=name, params=parameters)

    def console(self) -> list[dict]:
        """What the page has written to its console since the last call."""
        return self._call("/se/log", type="browser")

    def text(self, name: str) -> str:
        """All text in the element with an id."""
        return self.run("return document.getElementById(arguments[0]).textContent", name)

    def click(self, selector: str) -> None:
        """Click the first element that a CSS selector finds."""
        self.run("document.querySelector(arguments[0]).click()", selector)

    def count(self, selector: str) -> int:
        """Elements that a CSS selector finds."""
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def _call(self, path: str, **body: object) -> object:
        request = urllib.request.Request(
            self._root + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return json.load(answer)["value"]
