"""A real browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from servers.programs import find
from tests.hub import processes_of, until

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: The first start of a page takes a while on a busy machine.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


#: The texts whose contrast with what is behind them is below 4.5.
FAINT = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    return pixel.getImageData(0, 0, 1, 1).data;
  };
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.backgroundColor = "Canvas";
  const canvas = getComputedStyle(probe).backgroundColor;
  probe.remove();
  const luminance = (colour) => {
    const [r, g, b] = [...rgb(colour)].map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (rgb(colour)[3] === 255) return colour;
    }
    return canvas;
  };
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())).filter((one) => {
      const [dark, light] = [luminance(getComputedStyle(one).color), luminance(behind(one))].sort((a, b) => a - b);
      return (light + 0.05) / (dark + 0.05) < 4.5;
    }).map((one) => one.textContent);
}"""


@asynccontextmanager
async def browser(home: Path) -> AsyncIterator[Browser]:
    """Chromium. What it writes, it writes below `home`, and it must leave no process behind."""
    home.mkdir()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=find("chromium"), args=_ARGUMENTS, env={**os.environ, "HOME": str(home)}
        )
        try:
            yield chromium
        finally:
            await chromium.close()
    await until(lambda: not processes_of(home), "the browser left processes behind")


def pictures_of(page: str, otherwise: Path) -> Path:
    """Where pictures of `page` go: into the documentation if KVPROXY_PICTURES names its directory of guides."""
    guides = os.environ.get("KVPROXY_PICTURES")
    return Path(guides) / page if guides else otherwise


async def assert_legible(page: Page) -> None:
    """Contrast as WCAG 2.2 AA asks of small text, and nothing to scroll sideways but tables."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate(FAINT) == []
    small = "[...document.querySelectorAll('button, input, select, nav a')].filter((one) => one.checkVisibility())"
    sizes = await page.evaluate(f"{small}.map((one) => one.getBoundingClientRect()).map((box) => box.height)")
    assert all(size >= 12 for size in sizes)
