"""Pictures of a board for a README, taken of its page in a browser.

    memgym leaderboard build leaderboard/reference/poisoned --out site
    python -m memgym.leaderboard.pictures site leaderboard/reference/poisoned

writes `table.png` and `memory.png` into the second folder: the table of agents, and score against bytes of memory, in
light colours. It needs playwright and a Chromium; set CHROMIUM to its file where it is not on the path.
"""

import argparse
import os
import shutil
from pathlib import Path

from memgym.errors import DependencyMissing, MemgymError

__all__ = ["find_chromium", "main", "take_pictures"]

PICTURES = {"table.png": "#overview .scroll", "memory.png": "#chart"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1180, 900  # pixels of the window


def take_pictures(site: Path, out: Path, chart: str = "") -> list[Path]:
    """Photograph the index of a site.

    Args:
        site: folder that `memgym leaderboard build` wrote.
        out: folder for the pictures.
        chart: title of what the chart is of, as the page offers it; ``""`` takes the first.

    Returns:
        The files.

    Raises:
        DependencyMissing: playwright is not installed.
        MemgymError: no browser, or no such page or chart.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise DependencyMissing.for_extra("playwright", "dev", "Taking pictures of a page") from None
    browser_path = find_chromium()
    if browser_path is None:
        raise MemgymError("no Chromium on the path: install one, or set CHROMIUM to its file.")
    index = site.resolve() / "index.html"
    if not index.is_file():
        raise MemgymError(f"{index} is not there: build the site first, memgym leaderboard build.")
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(index.as_uri())
        if chart:
            offered = page.locator("#chart-task option").all_text_contents()
            if chart not in offered:
                raise MemgymError(f"the page has no chart of {chart!r}; it has {', '.join(offered)}.")
            page.select_option("#chart-task", label=chart)
        files = []
        for name, part in PICTURES.items():
            files.append(out / name)
            page.locator(part).screenshot(path=files[-1], animations="disabled")
        browser.close()
    return files


def find_chromium() -> str | None:
    """The browser's file: what CHROMIUM names, otherwise the first on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path, help="folder of a built page")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--chart", default="", help="title of what the chart is of; by default the first")
    options = parser.parse_args()
    for path in take_pictures(options.site, options.out, options.chart):
        print(path)


if __name__ == "__main__":
    main()
