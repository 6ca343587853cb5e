"""What a person sees: JupyterLab in a real browser, through Traefik."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser import PATIENCE_MS, browser
from tests.hub import Hub


@pytest.fixture
async def page(tmp_path):
    async with browser(tmp_path / "browser") as chromium:
        page = await chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        yield page


async def test_jupyterlab_appears_and_runs_code(tmp_path, page):
    directory = tmp_path / "hub"
    directory.mkdir()
    async with Hub(directory) as hub:
        await hub.start()
        await page.goto(hub.url)
        await page.fill("#username_input", "alice")
        await page.fill("#password_input", "any")
        await page.click("#login_submit")
        await page.wait_for_url(f"{hub.url}/user/alice/lab**")
        launcher = page.locator(".jp-Launcher")
        await expect(launcher).to_be_visible(timeout=PATIENCE_MS)
        await page.screenshot(path=tmp_path / "launcher.png")
        await launcher.get_by_title("Python 3 (ipykernel)").first.click()
        await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=PATIENCE_MS)
        await page.locator(".jp-Cell .cm-content").first.click()
        await page.keyboard.type("6 * 7")
        await page.keyboard.press("Shift+Enter")
        await expect(page.locator(".jp-OutputArea-output").first).to_have_text("42", timeout=PATIENCE_MS)
        await page.screenshot(path=tmp_path / "notebook.png")
