"""Headless Chromium for tests of the dashboard's pages, driven by Playwright."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.report.browser import CHROMIUM

HAS_PLAYWRIGHT = importlib.util.find_spec("playwright") is not None
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or not HAS_PLAYWRIGHT,
    reason="Chromium (package chromium) or Playwright for Python is not installed",
)
_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
# What axe-core calls findings that shut somebody out.
_SERIOUS = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Any, **options: Any) -> Iterator[Any]:
    """
    Yield a page; what its scripts or its security policy complain about fails the test.

    `options` are those of Playwright's `new_context`.
    """
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


def is_complaint(said: Any) -> bool:
    """Whether a page complains; that an answer is an error is the answer's own matter."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def serious_findings(page: Any) -> list[str]:
    """Return what axe-core finds on a page that shuts somebody out; it runs as a debugger does."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python, which brings axe-core, is not installed")
    page.evaluate(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in violations
        if each["impact"] in _SERIOUS
        for node in each["nodes"]
    ]
