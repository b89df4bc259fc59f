"""The leaderboard's page in a real browser, from a file and without a network."""

import runpy
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import pytest

from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import read_traces
from memgym.core.suites import get_suite
from memgym.core.verify import verify
from memgym.leaderboard.build import build_site
from memgym.leaderboard.page import write_page
from memgym.leaderboard.pictures import find_chromium
from memgym.leaderboard.replays import Replay, Step

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = find_chromium()
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
PAGES = ("index.html", "compare.html", "agents/rules.html", "tasks/2-dialogue.html", "tasks/1-t-maze-n3.html")
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


def names(page, table="#agents"):
    return page.locator(f"{table} tbody tr:visible th").all_inner_texts()


def column(page, number, table="#agents"):
    """First word of each shown cell of a column, top down."""
    cells = page.locator(f"{table} tbody tr:visible").locator(f"xpath=./*[{number}]")
    return [text.split()[0] for text in cells.all_inner_texts()]


TASK_TABLE = "main section:first-of-type table"


def test_every_page_opens_from_a_file_without_errors_or_requests(browser, site):
    for path in sorted(site.parent.rglob("*.html")):
        with opened(browser, path) as page:
            assert "memgym leaderboard" in page.title()
    with opened(browser, site) as page:
        assert len(names(page)) == 10
        assert page.locator("#plot .mark").count() == 3
        assert page.locator("#profile-plot g path").count() == 3


def test_click_on_a_heading_sorts_and_says_so(browser, site):
    with opened(browser, site.parent / "tasks/2-dialogue.html") as page:
        scores = [float(score) for score in column(page, 3, TASK_TABLE)]
        assert scores == sorted(scores, reverse=True)
        header = page.locator(f"{TASK_TABLE} thead th", has_text="Memory").first
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == "descending"
        assert page.locator(f"{TASK_TABLE} th[aria-sort]").count() == 1
        assert names(page, TASK_TABLE)[0] == "full-context"
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == "ascending"
        assert (names(page, TASK_TABLE)[0], names(page, TASK_TABLE)[-1]) == ("closed-book", "full-context")


def test_keyboard_sorts_and_missing_values_come_last_both_ways(browser, site):
    with opened(browser, site) as page:
        button = page.get_by_role("button", name="Text", exact=True)
        button.focus()
        for _ in range(2):
            page.keyboard.press("Enter")
            assert set(names(page)[-3:]) == {"first-cue", "ppo-lstm", "ppo-memory"}
        assert names(page)[0] == "random"
        assert button.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_search_filters_every_word_in_table_and_map(browser, site):
    with opened(browser, site) as page:
        page.get_by_label("Search").fill("RL lstm")
        assert names(page) == names(page, "#map") == ["ppo-lstm"]
        assert page.locator("#found").inner_text().startswith("1 of 10 agents shown")
        page.get_by_label("Search").fill("")
        assert len(names(page)) == 10


def test_setting_and_kind_filter(browser, site):
    with opened(browser, site) as page:
        page.locator("#setting").select_option("offline")
        assert names(page) == ["full-context"]
        page.locator("#setting").select_option("")
        page.locator("#kind").select_option("rl")
        assert names(page) == ["ppo-memory", "ppo-lstm"]


def test_columns_can_be_chosen(browser, site):
    with opened(browser, site) as page:
        heading = page.get_by_role("button", name="Retention", exact=True)
        assert not heading.is_visible()
        page.locator("#columns summary").click()
        page.get_by_label("Retention").check()
        page.get_by_label("IQM").uncheck()
        assert heading.is_visible()
        assert not page.get_by_role("button", name="IQM", exact=True).is_visible()
        cells = page.locator("#agents tbody tr").first.locator("[data-c]:visible").count()
        assert cells == page.locator("#agents thead [data-c]:visible").count()
        page.keyboard.press("Escape")
        assert not page.get_by_label("Retention").is_visible()


def test_an_address_brings_back_what_was_shown(browser, site):
    with opened(browser, site) as page:
        page.locator("#kind").select_option("scripted")
        page.get_by_label("Search").fill("a")
        page.locator("#columns summary").click()
        page.get_by_label("Optimality gap").check()
        page.mouse.click(5, 5)  # elsewhere: the menu closes
        page.get_by_role("button", name="Budget AUC", exact=True).click()
        page.locator("#chart-task").select_option(label="all text tasks")
        address, shown = page.url.partition("#")[2], names(page)
        assert len(shown) > 2
    with opened(browser, site, "#" + address) as page:
        assert names(page) == shown
        assert page.locator("#kind").input_value() == "scripted"
        assert page.get_by_role("button", name="Optimality gap", exact=True).is_visible()
        assert page.locator("#agents th[aria-sort]").inner_text().startswith("Budget AUC")
        assert page.locator("#chart-task").input_value() == "text"


@pytest.mark.parametrize(
    "address", ["#main", "#sort=99,up", "#sort=a", "#columns=", "#chart=x&kind=y", "#%E0%A4%A"]
)
def test_odd_addresses_do_no_harm(browser, site, address):
    with opened(browser, site, address) as page:
        assert len(names(page)) == 10


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
@pytest.mark.parametrize("name", PAGES)
def test_all_text_has_readable_contrast(browser, site, scheme, name):
    with opened(browser, site.parent / name, color_scheme=scheme) as page:
        found = page.evaluate(CONTRAST)
        assert len(found) > 10
        assert [text for text in found if text["ratio"] < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(browser, site, scheme, name):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing"
    )
    with opened(browser, site.parent / name, color_scheme=scheme) as page:
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_axe_would_find_a_violation(browser, tmp_path):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing"
    )
    (tmp_path / "bad.html").write_text("<html><body><img src='data:,'><input></body></html>")
    with opened(browser, tmp_path / "bad.html") as page:
        assert {"image-alt", "label"} <= {one["id"] for one in axe.Axe().run(page).response["violations"]}


@pytest.mark.parametrize("name", PAGES)
def test_phone_width_does_not_overflow(browser, site, name):
    with opened(browser, site.parent / name, viewport={"width": 390, "height": 844}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390


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


def test_points_of_the_chart_show_a_tip_and_lead_to_the_agent(browser, site):
    with opened(browser, site) as page:
        page.locator("#chart-task").select_option(label="all text tasks")
        point = page.locator("#plot a", has_text="rules")
        point.locator(".mark").hover()
        assert page.locator("#tip").inner_text().splitlines()[0] == "rules"
        page.mouse.move(0, 0)
        assert page.locator("#tip").count() == 0
        point.focus()
        assert page.locator("#tip").count() == 1
        page.keyboard.press("Enter")
        page.wait_for_url("**/agents/rules.html")
        assert page.locator("h1").inner_text() == "rules"


def test_profile_in_focus_shows_its_band(browser, site):
    with opened(browser, site) as page:
        assert page.locator("#profile-plot .band").get_attribute("d") == ""
        page.locator("#profile-legend button").first.click()
        assert page.locator("#profile-legend [aria-pressed=true]").count() == 1
        assert page.locator("#profile-plot .band").get_attribute("d").startswith("M")


def test_two_agents_are_compared_and_the_address_brings_them_back(browser, site):
    path = site.parent / "compare.html"
    with opened(browser, path) as page:
        page.locator("#set").select_option(label="all text tasks")
        page.locator("#one").select_option("recency")
        page.locator("#two").select_option("rules")
        said = page.locator("#verdict").inner_text()
        assert said.startswith("rules is better")
        assert "after Holm" in said
        assert page.locator("#verdict tbody tr").count() == 2
        address = page.url.partition("#")[2]
        page.locator("#one").select_option("rules")
        assert "two different agents" in page.locator("#verdict").inner_text()
    with opened(browser, path, "#" + address) as page:
        assert page.locator("#verdict").inner_text() == said


def test_downloads_are_beside_the_page(browser, site):
    with opened(browser, site) as page:
        for name, file in (("CSV", "results.csv"), ("JSON", "results.json")):
            link = page.get_by_role("link", name=name, exact=True)
            assert link.get_attribute("href") == file
            assert (site.parent / file).stat().st_size > 1000


def test_without_scripts_all_tables_are_there(browser, site):
    with opened(browser, site, java_script_enabled=False) as page:
        assert len(names(page)) == len(names(page, "#map")) == 10
        assert page.get_by_text("need JavaScript").is_visible()
        assert not page.locator("#theme").is_visible()
        assert not page.locator("#search").is_visible()
        page.get_by_role("link", name="rules").first.click()
        assert page.locator("h1").inner_text() == "rules"
    with opened(browser, site.parent / "compare.html", java_script_enabled=False) as page:
        assert page.locator("table:visible").count() == 2


def test_print_shows_every_column_and_no_controls(browser, site):
    with opened(browser, site) as page:
        page.emulate_media(media="print")
        assert page.locator("#agents th[data-c=gap]").is_visible()
        assert not page.locator(".tools").is_visible()


def test_text_of_strangers_runs_no_script(browser, tmp_path):
    make_bundle, make_episode = SYNTHETIC["make_bundle"], SYNTHETIC["make_episode"]
    questions = [{"type": HOSTILE, "score": 0.5, "is_correct": False}]
    bundles = [
        make_bundle(
            name,
            episodes=[
                make_episode("dialogue", i, score + i / 10, questions=questions, ops={HOSTILE: 1})
                for i in range(2)
            ],
            description=HOSTILE,
            url="javascript:window.pwned=1",
            licence=HOSTILE,
            authors=(HOSTILE,),
            config={HOSTILE: HOSTILE},
        )
        for name, score in ((HOSTILE, 0.5), (HOSTILE + "2", 0.6), ("random", 0.1), ("oracle", 0.9))
    ]
    for bundle in bundles:
        bundle.header["tasks"][0]["title"] = HOSTILE
    board = aggregate(bundles)
    status = {agent.name: "claimed" for agent in board.agents}
    step = Step(
        frame=HOSTILE, speaker=HOSTILE, text=HOSTILE, ops=({"kind": HOSTILE, "text": HOSTILE},), note=HOSTILE
    )
    replays = {(HOSTILE, "dialogue"): Replay(1, 0, 0.5, 1, (step,), False)}
    index = write_page(board, tmp_path, status, replays)
    with opened(browser, index) as page:
        page.locator("#plot a").first.focus()
        assert HOSTILE[:30] in page.locator("#tip").inner_text()
        page.locator("#profile-legend button").first.click()
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0
    paths = sorted(tmp_path.rglob("*.html"))
    assert len(paths) == 2 + 4 + 1 + 1
    for path in paths:
        with opened(browser, path) as page:
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
    assert len(names(page)) == 10
    context.close()


# ---- replays ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replayed_site(tmp_path_factory):
    root = tmp_path_factory.mktemp("replays")
    suite = get_suite("quickstart+episodes=1")
    with pytest.MonkeyPatch.context() as patch:  # without LoCoMo, which takes most of the time
        patch.setenv("MEMGYM_DATA", str(root))
        patch.setenv("MEMGYM_CACHE", str(root))
        run([plan(AgentSpec(name), suite, root / "results") for name in ("first-cue", "rules")])
        return build_site(root / "results", root / "site", verify)


def test_a_maze_is_watched_frame_by_frame(browser, replayed_site):
    (path,) = (replayed_site.parent / "replays").glob("first-cue--*.html")
    with opened(browser, replayed_site.parent / "agents/first-cue.html") as page:
        page.get_by_role("link", name="watch").click()
        page.wait_for_url("**/replays/" + path.name)
        assert page.locator(".replay pre:visible").count() == 1
        first = page.locator(".replay pre:visible").inner_text()
        page.get_by_role("button", name="Next").click()
        assert page.locator("#at").inner_text().startswith("2 of")
        assert page.locator(".replay pre:visible").inner_text() != first
        page.locator("#step").focus()
        page.keyboard.press("End")
        assert "the end" in page.locator(".replay li:visible .note").inner_text()
    with opened(browser, path, java_script_enabled=False) as page:
        assert page.locator(".replay pre:visible").count() > 5


def test_a_dialogue_is_read_with_its_memory_operations(browser, replayed_site):
    path = next((replayed_site.parent / "replays").glob("rules--*-dialogue-1k.html"))
    assert path.stat().st_size < 200_000
    with opened(browser, path) as page:
        assert page.locator(".replay .question").count() > 5
        assert "ADD" in page.locator(".replay .op b").all_inner_texts()
        assert "score" in page.locator(".replay .question .note").first.inner_text()
        page.get_by_role("button", name="Next").click()
        assert page.locator(".replay .now").count() == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_the_memory_stands_beside_the_dialogue_at_every_step(browser, replayed_site, width):
    path = next((replayed_site.parent / "replays").glob("rules--*-dialogue-1k.html"))
    task = next(task for task in get_suite("quickstart").tasks if task.name == "dialogue-1k")
    env = gym.make(task.env_id, disable_env_checker=True, **task.kwargs).unwrapped
    (seed, episode), actions = next(read_traces(replayed_site.parents[1] / "results" / "rules", task.name))
    env.reset(seed=seed, options={"episode": episode})
    with opened(browser, path, viewport={"width": width, "height": 800}) as page:
        page.locator("#step").focus()
        for step, action in enumerate(actions):
            env.step(action)
            if step % 10 == 9:  # DELETE and UPDATE come late
                shown = page.locator("#bank li").all_inner_texts()
                assert shown == [f"{entry.id} {entry.text}" for entry in env.bank.get_all()]
                assert page.locator("#after").inner_text() == str(step + 1)
                assert page.locator(".replay .now").is_visible()
                assert page.locator("#play").is_visible()
            page.keyboard.press("ArrowRight")
        assert page.locator(".replay .right").count() > page.locator(".replay .wrong").count() > 0
