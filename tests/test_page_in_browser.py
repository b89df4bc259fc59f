"""The leaderboard's page in a real browser, from a file and without a network."""

import runpy
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from memgym.leaderboard.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    ),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

SYNTHETIC = runpy.run_path(str(Path(__file__).with_name("synthetic_board.py")))
aggregate = SYNTHETIC["aggregate"]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "<img src=x onerror=window.pwned=1></script><script>window.pwned=1</script>"
VIEWS = ("overview", "task-1-t-maze-n3", "task-2-dialogue", "task-3-locomo")
BOXES = """() => [...document.querySelectorAll("#plot .label, #plot .axis")].map((node) => node.getBBox())
  .map((box) => [box.x, box.y, box.x + box.width, box.y + box.height])"""
CONTRAST = """() => {
  const lum = (css) => {
    const c = css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
  };
  const opaque = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const css = getComputedStyle(n).backgroundColor;
      if (css !== "rgba(0, 0, 0, 0)") return css;
    }
    return "rgb(255, 255, 255)";
  };
  const shown = [...document.querySelectorAll("body *")].filter((n) => n.checkVisibility()
    && n.closest("svg") === null && [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()));
  return shown.map((node) => {
    const [a, b] = [lum(getComputedStyle(node).color), lum(opaque(node))].sort((x, y) => y - x);
    return { ratio: (a + 0.05) / (b + 0.05), text: node.textContent.slice(0, 30), name: node.className };
  });
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    board = aggregate(SYNTHETIC["realistic_bundles"]())
    status = {agent.name: "claimed" if agent.name == "rules" else "replayed" for agent in board.agents}
    return write_page(board, tmp_path_factory.mktemp("site"), status)


@contextmanager
def opened(browser, path, anchor="", **options):
    """The page; leaving it checks that nothing was logged and nothing but files was asked for."""
    context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: problems.extend([request.url] * (not request.url.startswith(("file:", "data:")))),
    )
    page.goto(path.as_uri() + anchor)
    yield page
    context.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def column(page, number, view="overview"):
    """First word of each shown cell of a column of the table in view, top down."""
    cells = page.locator(f"#{view} tbody tr:visible").locator(f"xpath=./*[{number}]")
    return [text.split()[0] for text in cells.all_inner_texts()]


def names(page, view="overview"):
    return page.locator(f"#{view} tbody tr:visible th").all_inner_texts()


def test_page_opens_from_a_file_without_errors_or_requests(browser, site):
    with opened(browser, site) as page:
        assert page.title() == "memgym leaderboard"
        assert page.locator("#overview tbody tr:visible").count() == 10
        assert page.locator("#plot .mark").count() == 5


def test_click_on_a_heading_sorts_and_says_so(browser, site):
    with opened(browser, site, "#task-2-dialogue") as page:
        header = page.locator("#task-2-dialogue thead th", has_text="Memory").first
        scores = [float(score) for score in column(page, 3, "task-2-dialogue")]
        assert scores == sorted(scores, reverse=True)
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == "descending"
        assert page.locator("#task-2-dialogue th[aria-sort]").count() == 1
        assert names(page, "task-2-dialogue")[0] == "full-context"
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == "ascending"
        assert names(page, "task-2-dialogue")[0] == "closed-book"
        assert names(page, "task-2-dialogue")[-1] == "full-context"


def test_keyboard_sorts_and_missing_values_come_last_both_ways(browser, site):
    with opened(browser, site) as page:
        button = page.get_by_role("button", name="Text", exact=True)
        button.focus()
        for _ in range(2):
            page.keyboard.press("Enter")
            assert set(names(page)[-3:]) == {"first-cue", "ppo-lstm", "ppo-memory"}
        assert names(page)[0] == "random"
        assert button.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_search_filters_every_word(browser, site):
    with opened(browser, site) as page:
        page.get_by_label("Search").fill("RL lstm")
        assert names(page) == ["ppo-lstm"]
        assert page.locator("#found").inner_text() == "1 of 10 agents shown"
        page.get_by_label("Search").fill("")
        assert len(names(page)) == 10


def test_setting_filters_and_ranks_again(browser, site):
    with opened(browser, site, "#task-2-dialogue") as page:
        assert column(page, 1, "task-2-dialogue") == ["–", "1", "2", "3", "4", "5", "–"]
        page.get_by_label("Setting").select_option("online")
        assert names(page, "task-2-dialogue") == ["oracle", "rules", "add-all-bm25", "recency"]
        assert column(page, 1, "task-2-dialogue") == ["–", "1", "2", "3"]


def test_switcher_shows_one_task_and_an_address_leads_back(browser, site):
    with opened(browser, site) as page:
        page.locator("#views").get_by_text("LoCoMo").click()
        assert page.locator(".view:visible h2").all_inner_texts() == ["LoCoMo, 8 KiB"]
        assert page.locator(".heat:visible caption").all_inner_texts() == ["LoCoMo, 8 KiB"]
        assert page.locator("#chart-task").input_value() == "task-3-locomo"
        assert page.url.endswith("#task-3-locomo")
        page.reload()
        assert page.locator(".view:visible h2").all_inner_texts() == ["LoCoMo, 8 KiB"]


def test_theme_toggle_changes_the_colours_and_sticks(browser, site):
    with opened(browser, site, color_scheme="light") as page:
        background = "() => getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(background)
        page.get_by_role("button", name="Switch to the dark theme").click()
        dark = page.evaluate(background)
        assert dark != light
        page.reload()
        assert page.evaluate(background) == dark
        page.get_by_role("button", name="Switch to the light theme").click()
        assert page.evaluate(background) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_readable_contrast(browser, site, scheme):
    with opened(browser, site, color_scheme=scheme) as page:
        page.locator("summary").first.click()
        for view in VIEWS:
            page.locator(f"#views [data-view={view}]").click()
            found = page.evaluate(CONTRAST)
            assert len(found) > 100
            assert [text for text in found if text["ratio"] < 4.5] == []


def test_phone_width_does_not_overflow(browser, site):
    with opened(browser, site, "#agent-ppo-lstm", viewport={"width": 390, "height": 844}) as page:
        for view in VIEWS:
            page.locator(f"#views [data-view={view}]").click()
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            assert page.locator(".view:visible .scroll").evaluate(
                "node => node.scrollWidth > node.clientWidth"
            )


@pytest.fixture(scope="module")
def crowded_site(tmp_path_factory):
    """Nine agents that score and remember almost the same."""
    make_bundle, make_episode = SYNTHETIC["make_bundle"], SYNTHETIC["make_episode"]
    bundles = [
        make_bundle(
            f"crowded-{i}",
            episodes=[make_episode("dialogue", e, 0.5 + i / 100, agent_bytes=i) for e in (0, 1)],
        )
        for i in range(9)
    ]
    board = aggregate(bundles)
    return write_page(
        board, tmp_path_factory.mktemp("crowd"), dict.fromkeys((a.name for a in board.agents), "claimed")
    )


def overlapping(boxes):
    return [
        (a, b)
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_the_chart_do_not_overlap(browser, site, crowded_site, width):
    for path in (site, crowded_site):
        with opened(browser, path, viewport={"width": width, "height": 900}) as page:
            for task in page.locator("#chart-task option").all():
                page.locator("#chart-task").select_option(task.get_attribute("value"))
                boxes = page.evaluate(BOXES)
                assert page.locator("#plot .label").count() == page.locator("#plot .mark").count()
                assert len(boxes) > 10
                assert overlapping(boxes) == []


def test_points_of_the_chart_show_a_tip_and_lead_to_the_card(browser, site):
    with opened(browser, site, "#task-2-dialogue") as page:
        point = page.locator("#plot a", has_text="rules")
        point.locator(".mark").hover()
        assert page.locator("#tip").inner_text().splitlines()[0] == "rules"
        page.mouse.move(0, 0)
        assert page.locator("#tip").count() == 0
        point.focus()
        assert page.locator("#tip").count() == 1
        page.keyboard.press("Enter")
        assert page.locator("#agent-rules").evaluate("node => node.open")


def test_downloads_are_beside_the_page(browser, site):
    with opened(browser, site) as page:
        for name, file in (("CSV", "results.csv"), ("JSON", "results.json")):
            link = page.get_by_role("link", name=name, exact=True)
            assert link.get_attribute("href") == file
            assert (site.parent / file).stat().st_size > 1000


def test_without_scripts_all_tables_are_there(browser, site):
    with opened(browser, site, java_script_enabled=False) as page:
        assert page.locator(".view:visible").count() == 4
        assert page.locator(".heat:visible").count() == 2
        assert page.get_by_text("needs JavaScript").is_visible()
        assert not page.locator("#theme").is_visible()


def test_print_shows_all_tables_and_no_controls(browser, site):
    with opened(browser, site, "#task-3-locomo") as page:
        page.emulate_media(media="print")
        assert page.locator(".view:visible").count() == 4
        assert not page.locator(".tools").is_visible()


def test_text_of_strangers_runs_no_script(browser, tmp_path):
    make_bundle, make_episode = SYNTHETIC["make_bundle"], SYNTHETIC["make_episode"]
    questions = [{"type": HOSTILE, "score": 0.5, "is_correct": False}]
    bundle = make_bundle(
        HOSTILE,
        episodes=[make_episode("dialogue", i, 0.5, questions=questions, ops={HOSTILE: 1}) for i in range(2)],
        description=HOSTILE,
        url="javascript:window.pwned=1",
        licence=HOSTILE,
        config={HOSTILE: HOSTILE},
    )
    bundle.header["tasks"][0]["title"] = HOSTILE
    board = aggregate([bundle])
    with opened(browser, write_page(board, tmp_path, {HOSTILE: "claimed"})) as page:
        page.locator("summary").click()
        page.locator("#plot .mark").hover()
        assert HOSTILE in page.locator("#tip").inner_text()
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0


def test_scripts_that_are_not_of_the_page_are_blocked_by_its_policy(browser, site, tmp_path):
    planted = tmp_path / "index.html"
    planted.write_text(
        site.read_text().replace(
            "</main>", "<img src=x onerror=window.pwned=1><script>window.pwned=1</script></main>"
        )
    )
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(planted.as_uri())
    page.wait_for_timeout(100)
    assert page.evaluate("window.pwned") is None
    assert page.locator("#overview tbody tr:visible").count() == 10
    context.close()
