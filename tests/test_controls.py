"""The explorers of the built book: every control, by mouse or keys, with no kernel, no network."""

import json
import random
import re

import numpy as np
import pytest

from helpers import (
    cluster_means,
    create_data,
    fit_mixed,
    random_covariance,
    treatment_clusters,
)
from helpers.controls.explorers import (
    SHRINKAGE_CONTROLS,
    WEIGHT_CONTROLS,
    pulled_clusters,
    pulled_worlds,
    shrinkage_sample,
    weights_at,
)
from tests.browsing import PAGES, SITE, UNFOLD, Visit, changes
from tests.test_site import CLIPPED

EXPLORERS = {
    "chapters/index": 1,
    "chapters/shrinkage": 6,
    "chapters/random-slopes": 3,
    "chapters/categorical-effects": 1,
    "chapters/cluster-weighting": 1,
    "chapters/your-data": 3,
    "chapters/appendix/bayes": 1,
}
LINKED = ".explore:has(.explore-drags)"
SIX_WORLDS = ".explore:has(.explore-charts > :nth-child(6))"
SELECTORS = ".explore-control :is(input[type=range], input[type=checkbox], select, button)"
# With Tab a browser goes to the chosen one of a group of radio buttons.
REACHED = f"{SELECTORS}, .explore-control input[type=radio]:checked"


def dead_controls(page):
    """List (control, key) for every key that did not move its chart."""
    dead = []
    for explorer in page.locator(".explore").all():

        def check(control, keys, name, explorer=explorer):
            for key in keys:
                if not changes(explorer, lambda key=key: control.press(key)):
                    dead.append((name, key))

        for handle in explorer.get_by_role("slider").all():
            # From the low end: Home would change nothing there.
            handle.press("Home")
            page.wait_for_timeout(100)
            name = handle.evaluate("slider => slider.labels[0].innerText")
            check(handle, ("End", "Home", "ArrowRight", "ArrowLeft"), name)
        for button in explorer.locator(".explore-step").all()[::-1]:
            check(button, ["Enter"], button.get_attribute("aria-label"))
        for group in explorer.get_by_role("radiogroup").all():
            for _ in group.get_by_role("radio").all():
                check(group.locator(":checked"), ["ArrowDown"], group.inner_text())
        for box in explorer.get_by_role("checkbox").all():
            check(box, ["Space", "Space"], "a box")
        for choice in explorer.locator("select").all():
            # The first entry may be the reader's own settings, which set nothing.
            choice.press("Home")
            page.wait_for_timeout(100)
            check(choice, ("End", "ArrowUp"), choice.get_attribute("id"))
    return dead


@pytest.fixture(scope="module", params=EXPLORERS)
def opened(request, browser, address):
    """One page with explorers, opened once for the tests that go through all of its controls."""
    visited = Visit(browser, address)
    visited.name = request.param
    visited.open(f"{address}/{request.param}.html")
    yield visited
    visited.context.close()


def test_every_explorer_is_on_its_page(opened):
    assert opened.page.locator(".explore").count() == EXPLORERS[opened.name]
    assert opened.troubles == []


TAB_FROM_HERE = """box => {
    const start = document.createElement("span");
    start.tabIndex = -1;
    box.before(start);
    start.focus();
}"""


def test_tab_reaches_every_control(opened):
    page = opened.page
    page.evaluate(
        f"""document.querySelectorAll('.explore').forEach(box => box.querySelectorAll('{REACHED}')
            .forEach(control => control.addEventListener('focus', () => control.reached = true)))"""
    )
    for explorer in page.locator(".explore").all():
        explorer.evaluate(TAB_FROM_HERE)
        for _ in range(explorer.locator("a, button, input, select, summary, [tabindex]").count()):
            page.keyboard.press("Tab")
    unreached = page.evaluate(
        f"""[...document.querySelectorAll('.explore')]
            .flatMap(box => [...box.querySelectorAll('{REACHED}')])
            .filter(control => !control.reached && control.offsetParent)
            .map(control => control.outerHTML.slice(0, 200))"""
    )
    assert unreached == []


def test_tab_goes_from_the_top_of_a_page_to_its_foot(visit, address):
    page = visit().open(f"{address}/chapters/index.html")
    stops = "a, button, input, select, summary, [tabindex]"
    page.locator("footer a").last.evaluate(
        "last => last.addEventListener('focus', () => (last.reached = true))"
    )
    for _ in range(page.locator(stops).count() + 20):
        page.keyboard.press("Tab")
    assert page.locator("footer a").last.evaluate("last => last.reached")


def test_controls_speak_their_name_and_value(opened):
    page = opened.page
    for handle in page.locator(".explore input[type=range]").all():
        control = handle.locator("xpath=..")
        handle.press("End")
        page.wait_for_timeout(50)
        said = control.locator("output").inner_text()
        assert said and handle.get_attribute("aria-valuetext") == said
        assert handle.evaluate("slider => slider.labels[0].innerText.trim()")
        assert handle.bounding_box()["height"] >= 24
        assert handle.evaluate("e => parseFloat(getComputedStyle(e).outlineWidth)") >= 2
    for group in page.get_by_role("radiogroup").all():
        assert group.evaluate("g => document.getElementById(g.getAttribute('aria-labelledby'))")
    for button in page.locator(".explore :is(button, .explore-options label):visible").all():
        assert button.inner_text().strip() or button.get_attribute("aria-label")
        assert min(button.bounding_box()[side] for side in ("width", "height")) >= 24


def test_every_control_moves_its_chart(opened):
    assert dead_controls(opened.page) == []
    assert opened.troubles == []


def test_a_figure_stands_in_print(opened):
    figures = opened.page.locator(".explore-static").all()
    assert not any(figure.is_visible() for figure in figures)
    opened.page.emulate_media(media="print")
    assert all(figure.is_visible() for figure in figures)
    assert not opened.page.locator(".explore").first.is_visible()
    opened.page.emulate_media(media="screen")


def shown(explorer):
    """Names and words of all controls of an explorer."""
    return explorer.evaluate(
        """box => [...box.querySelectorAll(".explore-control")].map((row) => {
            const chosen = row.querySelector("select")?.selectedOptions[0]
                ?? row.querySelector(":checked")?.parentElement;
            return [row.textContent, chosen?.textContent];
        })"""
    )


def test_a_reload_and_a_link_keep_what_was_set(opened, visit):
    page = opened.page
    for explorer in page.locator(".explore").all():
        for handle in explorer.get_by_role("slider").all():
            handle.press("Home")
            handle.press("ArrowRight")
        for group in explorer.get_by_role("radiogroup").all():
            group.get_by_role("radio").last.check()
        for box in explorer.get_by_role("checkbox").all():
            box.check()
    page.wait_for_timeout(700)
    before = [shown(explorer) for explorer in page.locator(".explore").all()]
    set_to = page.url
    assert "#" in set_to
    page.reload()
    page.wait_for_timeout(700)
    assert [shown(explorer) for explorer in page.locator(".explore").all()] == before
    other = visit().page
    other.goto(set_to)
    other.evaluate(UNFOLD)
    other.wait_for_timeout(500)
    assert [shown(explorer) for explorer in other.locator(".explore").all()] == before
    for again in other.get_by_role("button", name="Start again").all():
        again.click()
    other.wait_for_function("!location.hash")
    assert opened.troubles == []


def test_a_broken_link_is_noticed(visit, address):
    def unlink(route):
        text = route.fetch().text()
        assert text.count("change:${name}") == 1  # from a control to a chart
        broken = text.replace("change:${name}", "unchanged:${name}")
        route.fulfill(body=broken, status=200, content_type="text/javascript")

    visited = visit()
    visited.page.route("**/controls.js*", unlink)
    page = visited.open(f"{address}/chapters/shrinkage.html", near=0)
    explorer = page.locator(".explore").first
    handle = explorer.get_by_role("slider")
    handle.press("Home")
    assert not changes(explorer, lambda: handle.press("End"))


def test_what_a_chart_says_is_spoken(visit, address):
    page = visit().open(f"{address}/chapters/shrinkage.html")
    first, second = page.locator(LINKED), page.locator(".explore").last
    set_slider(first, "cluster", 41)
    set_slider(second, "cluster", 42)
    spoken = first.locator(".explore-spoken[role=status]")
    page.wait_for_function("e => e.textContent.includes('cluster 42')", arg=spoken.element_handle())
    assert "own intercept, slope: 0.65, −0.70" in spoken.text_content()
    # What has not changed is not said again.
    assert "All clusters" not in spoken.text_content()
    spoken = second.locator(".explore-spoken[role=status]")
    page.wait_for_function("e => e.textContent.includes('cluster 42')", arg=spoken.element_handle())
    assert "own intercept, slope: 0.65, −0.70" in spoken.text_content()


def set_slider(explorer, name, position):
    handle = explorer.get_by_role("slider", name=name.replace("_", " "), exact=True)
    handle.focus()
    low, step = handle.evaluate("slider => [Number(slider.min), Number(slider.step)]")
    handle.fill(str(low + position * step))


def set_controls(explorer, controls, chance):
    """Set every control at random; return the values."""
    chosen = {}
    for name, options in controls.items():
        values = list(options.values()) if isinstance(options, dict) else options
        chosen[name] = chance.choice(values)
        if isinstance(values[0], str):
            explorer.get_by_role("radio", name=chosen[name], exact=True).check()
        else:
            set_slider(explorer, name, values.index(chosen[name]))
    return chosen


def positions(chart, layer, *, mark="path"):
    """Pixel coordinates of a layer's points or first ends of its rules, shape (marks, 2)."""
    transforms = chart.locator(f".layer_{layer}_marks {mark}").evaluate_all(
        "points => points.map(point => point.getAttribute('transform'))"
    )
    return np.array([re.findall(r"-?[\d.]+(?:e-?\d+)?", text)[:2] for text in transforms], float)


def line_points(chart, layer, *, points):
    """Pixel coordinates of a layer's lines, drawn as one path, shape (lines, points, 2)."""
    drawn = chart.locator(f".layer_{layer}_marks path").get_attribute("d")
    return np.array(re.findall(r"-?[\d.]+(?:e-?\d+)?", drawn), float).reshape(-1, points, 2)


def frame_size(chart):
    outline = chart.locator(".root path.background").first.get_attribute("d")
    return tuple(float(re.search(rf"{way}([\d.]+)", outline).group(1)) for way in "hv")


@pytest.fixture(scope="module")
def own_world(browser, address):
    """The explorer at the end of chapter 1, on a page of its own for several tests."""
    visited = Visit(browser, address)
    page = visited.open(f"{address}/chapters/shrinkage.html", near=-1)
    yield page.locator(".explore").last
    visited.context.close()


@pytest.mark.parametrize("seed", range(5))
def test_drawn_positions_are_pythons(own_world, seed):
    explorer, page, chance = own_world, own_world.page, random.Random(seed)
    explorer.get_by_role("checkbox", name="show the truth").uncheck()
    chosen = set_controls(explorer, SHRINKAGE_CONTROLS, chance)
    share = chance.randrange(5)
    set_slider(explorer, "pooling", share)
    page.wait_for_timeout(500)
    table = shrinkage_sample(**chosen)
    width, height = frame_size(explorer)

    def pixels(which):
        intercepts, slopes = table[f"{which}_Intercept"], table[f"{which}_x"]
        return np.column_stack([(intercepts + 1.5) / 5 * width, height - (slopes + 2) / 5 * height])

    own, mixed = pixels("no"), pixels("partial")
    now = own + share / 100 * (mixed - own)
    has_line = (table["n"] >= 2).to_numpy()
    paths = np.stack([own, now], axis=1)[has_line]
    assert np.abs(line_points(explorer, 0, points=2) - paths).max() <= 0.5
    assert np.abs(line_points(explorer, 1, points=1) - paths[:, :1]).max() <= 0.5
    assert np.abs(positions(explorer, 3) - now).max() <= 0.5
    said = explorer.locator(".role-title-text").text_content()
    off = table.loc[has_line, ["no_x", "partial_x"]].sub(table.loc[has_line, "true_x"], axis=0)
    pulled = off["no_x"] + share / 100 * (off["partial_x"] - off["no_x"])
    told = [float(number) for number in re.findall(r"(?:estimates|pooling) (\d+\.\d{3})", said)]
    assert told == pytest.approx([(e**2).mean() ** 0.5 for e in (off["no_x"], pulled)], rel=2e-3)
    explorer.get_by_role("checkbox", name="show the truth").check()
    page.wait_for_timeout(200)
    assert np.abs(positions(explorer, 9) - pixels("true")).max() <= 0.5


@pytest.fixture(scope="module")
def weights(browser, address):
    """The explorer of chapter 4 on a narrow screen, for several tests."""
    visited = Visit(browser, address, width=390)
    yield visited.open(f"{address}/chapters/cluster-weighting.html").locator(".explore")
    visited.context.close()


@pytest.mark.parametrize("seed", range(5))
def test_drawn_weights_are_pythons(weights, seed):
    explorer, page = weights, weights.page
    chosen = set_controls(explorer, WEIGHT_CONTROLS, random.Random(seed))
    page.wait_for_timeout(500)
    data = treatment_clusters([2, 10, 10, 10, 2, 10, 10, 10], seed=824523)
    table = cluster_means(fit_mixed("y ~ treatment + (1 | cluster)", data))
    frame = weights_at(table)(**chosen)
    chart = explorer.locator("svg.marks").first
    _, height = frame_size(chart)
    weights = frame[["weight_complete", "weight_no", "weight_partial"]].to_numpy().ravel()
    assert np.abs(positions(chart, 0)[:, 1] - height * (1 - weights)).max() <= 0.5
    means = frame.loc[[0, 4], ["mean_partial", "mean_no", "mean_complete"]].to_numpy().ravel()
    panel = explorer.locator("svg.marks").last
    # The axis follows the data, so the observed means tell where a mean stands.
    per_unit, at_zero = np.polyfit(frame["observed"], positions(panel, 1)[:, 1], 1)
    drawn = positions(panel, 0, mark="line")[:, 1]
    assert np.abs(drawn - (at_zero + per_unit * means)).max() <= 0.5


def test_a_cluster_without_a_line_has_no_estimate_of_its_own(visit, address):
    page = visit().open(f"{address}/chapters/shrinkage.html", near=-1)
    explorer = page.locator(".explore").last
    explorer.get_by_role("radio", name="unequal", exact=True).check()
    explorer.get_by_role("slider", name="observations per cluster", exact=True).press("Home")
    page.wait_for_timeout(500)
    table = shrinkage_sample(observations_per_cluster=3, cluster_sizes="unequal")
    single = table.index[table["n"] < 2][0]
    for _ in range(single + 1):
        explorer.get_by_role("slider", name="cluster", exact=True).press("ArrowRight")
    page.wait_for_timeout(500)
    words = explorer.locator(".layer_7_marks").text_content()
    assert f"cluster {single + 1}, observations: {table['n'][single]}" in words
    assert "own intercept, slope: none" in words
    assert "singular fit" in explorer.locator(".role-title-text").text_content()
    assert len(line_points(explorer, 1, points=1)) == (table["n"] >= 2).sum()
    beyond = table[["no_Intercept", "no_x"]].sub([1, 0.5]).abs().gt(2.5).any(axis=1)
    said = explorer.locator(".layer_8_marks").text_content()
    assert said == f"own estimates outside the frame: {(beyond & (table['n'] >= 2)).sum()}"


def test_effects_keep_their_order_whatever_was_shown_before(visit, address):
    page = visit().open(f"{address}/chapters/categorical-effects.html")
    explorer = page.locator(".explore")
    for key in ("Home", "ArrowRight", "End"):
        explorer.get_by_role("slider").press(key)
        page.wait_for_timeout(300)
    labels = explorer.locator("svg.marks").first.locator(".role-axis-label text")
    heights = {label.text_content(): label.bounding_box()["y"] for label in labels.all()}
    effects = [f"model 2: ses{level}" for level in ("low", "mid", "high")]
    assert sorted(heights.keys() & set(effects), key=heights.get) == effects


def test_presets_set_the_controls_and_controls_name_the_preset(visit, address):
    page = visit().open(f"{address}/chapters/shrinkage.html", near=-1)
    explorer = page.locator(".explore").last
    preset = explorer.locator("select")
    assert preset.evaluate("choice => choice.selectedOptions[0].text") == "baseline"
    preset.select_option("unbalanced")
    page.wait_for_timeout(200)
    slider = explorer.get_by_role("slider", name="observations per cluster", exact=True)
    assert slider.get_attribute("aria-valuetext") == "5"
    assert explorer.get_by_role("radio", name="unequal", exact=True).is_checked()
    slider.press("End")
    page.wait_for_timeout(400)
    assert preset.evaluate("choice => choice.selectedIndex") == 0


def test_play_runs_when_asked_and_not_before(visit, address):
    page = visit(reduced_motion="reduce").open(f"{address}/chapters/shrinkage.html", near=-1)
    handle = page.get_by_role("slider", name="pooling", exact=True)
    page.wait_for_timeout(300)
    assert handle.get_attribute("aria-valuetext") == "0"
    page.get_by_role("button", name="play pooling").press("Enter")
    page.wait_for_timeout(600)
    assert int(handle.get_attribute("aria-valuetext")) > 0


def test_back_returns_to_own_estimates(visit, address):
    page = visit().open(f"{address}/chapters/index.html")
    handle = page.get_by_role("slider", name="pull", exact=True)
    page.get_by_role("button", name="play pull").click()
    page.wait_for_timeout(400)
    page.get_by_role("button", name="back to own estimates").click()
    page.wait_for_timeout(300)
    assert handle.get_attribute("aria-valuetext") == "0"
    page.get_by_role("button", name="play pull").wait_for()


def test_a_copied_link_leads_to_its_explorer_alone(visit, address):
    visited = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visited.open(f"{address}/chapters/shrinkage.html", near=-1)
    page.get_by_role("slider", name="pull", exact=True).first.fill("70")
    explorer = page.locator(".explore").last
    explorer.locator("select").first.select_option("unbalanced")
    explorer.get_by_role("button", name="Copy link").click()
    explorer.get_by_text("Link copied.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "pull=" not in link
    other = visit().page
    other.goto(link)
    linked = other.locator(".explore").last
    other.wait_for_function("scrollY > 1000")
    other.wait_for_timeout(500)
    assert linked.is_visible() and linked.evaluate("e => e.getBoundingClientRect().top") < 900
    assert linked.locator("select").first.evaluate("e => e.value") == "unbalanced"


@pytest.mark.parametrize("address_ends", ["#who-moves-most", "#fig.pull=3", "#a.b=c&&%%", "#1=2"])
def test_other_anchors_change_nothing(visit, address, address_ends):
    visited = visit()
    page = visited.open(f"{address}/chapters/shrinkage.html{address_ends}", near=0)
    page.wait_for_timeout(500)
    assert page.get_by_role("slider", name="pull", exact=True).first.input_value() == "0"
    assert page.url.endswith(address_ends)
    assert visited.troubles == []


def test_values_that_a_control_has_not_are_left_out(visit, address):
    visited = visit()
    page = visited.open(f"{address}/chapters/index.html")
    slider = page.get_by_role("slider", name="pull", exact=True)
    slider.fill("40")
    page.wait_for_timeout(500)
    name = page.url.split("#")[1].split(".pull")[0]
    wrong = f"#{name}.pull=900&{name}.world=nowhere&{name}.show_the_truth=perhaps"
    page = visit().open(f"{address}/chapters/index.html{wrong}")
    assert page.get_by_role("slider", name="pull", exact=True).input_value() == "0"
    assert page.get_by_role("radio", name="baseline").is_checked()
    assert visited.troubles == []


def test_what_was_kept_stays_faint_behind_the_chart(visit, address):
    page = visit().open(f"{address}/chapters/index.html")
    explorer = page.locator(".explore")
    slider = page.get_by_role("slider", name="pull", exact=True)
    slider.fill("30")
    page.wait_for_timeout(300)
    at = positions(explorer.locator("svg.marks"), 4)
    explorer.get_by_role("button", name="Keep this as A").click()
    slider.fill("100")
    page.wait_for_timeout(300)
    ghost = explorer.locator(".explore-ghost")
    assert np.abs(positions(ghost, 4) - at).max() == 0
    assert np.abs(positions(explorer.locator("svg.marks"), 4) - at).max() > 5
    frames = [box.bounding_box() for box in (ghost, explorer.locator("svg.marks"))]
    assert frames[0] == frames[1]
    assert "A: Pulled 30 %" in explorer.locator(".explore-kept").text_content()
    explorer.get_by_role("button", name="Back to A").click()
    assert slider.input_value() == "30"
    explorer.get_by_role("button", name="Forget A").click()
    assert ghost.count() == 0


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_marks_move_between_presets_unless_motion_is_reduced(visit, address, motion, moves):
    page = visit(reduced_motion=motion).open(f"{address}/chapters/shrinkage.html", near=-1)
    explorer = page.locator(".explore").last
    explorer.locator("select").first.select_option("more slope variance")
    # Where the marks are drawn at the moment, against where they go.
    steps = explorer.evaluate(
        """async (box) => {
            const point = box.querySelectorAll(".explore-charts .layer_3_marks path")[7];
            const seen = [];
            for (let round = 0; round < 12; round += 1) {
                seen.push(Math.round(point.getBoundingClientRect().y));
                await new Promise((next) => setTimeout(next, 60));
            }
            return seen;
        }"""
    )
    between = {step for step in steps if step not in (steps[0], steps[-1])}
    assert (len(between) >= 2) == moves


def test_names_chosen_in_a_hurry_wait_for_no_marks(visit, address):
    page = visit().open(f"{address}/chapters/random-slopes.html")
    explorer = page.locator(".explore:has(.explore-list)").first
    charts = explorer.locator(".explore-charts")
    moving = "charts => charts.classList.contains('explore-moving')"
    select = explorer.locator("select").first
    select.press("ArrowDown")
    assert charts.evaluate(moving)
    seen = [select.press("ArrowDown") or charts.evaluate(moving) for _ in range(3)]
    assert seen[1:] == [False, False]
    page.wait_for_timeout(1000)
    select.press("ArrowUp")
    assert charts.evaluate(moving)


def test_a_tap_near_a_cluster_chooses_it(visit, address):
    page = visit(has_touch=True).open(f"{address}/chapters/shrinkage.html")
    for explorer, layer in ((page.locator(".explore").last, 3), (page.locator(LINKED), 3)):
        explorer.locator("svg.marks").first.scroll_into_view_if_needed()
        points = explorer.locator(f"svg.marks >> nth=0 >> .layer_{layer}_marks path")
        boxes = [box.bounding_box() for box in points.all()]
        at = np.array([[b["x"] + b["width"] / 2, b["y"] + b["height"] / 2] for b in boxes])
        lonely = int(np.argmax([np.sort(np.hypot(*(at - one).T))[1] for one in at]))
        page.touchscreen.tap(at[lonely, 0] + 9, at[lonely, 1] - 9)
        handle = explorer.get_by_role("slider", name="cluster", exact=True)
        page.wait_for_timeout(200)
        assert handle.get_attribute("aria-valuetext") == str(lonely + 1)


def test_a_dragged_observation_takes_the_line_along(visit, address):
    page = visit().open(f"{address}/chapters/shrinkage.html", near=2)
    explorer = page.locator(LINKED)
    set_slider(explorer, "cluster", 41)
    chart = explorer.locator("svg.marks").last
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    data = create_data()
    rows = data[data["cluster"] == 42].reset_index(drop=True)
    which = int(rows["x"].argmax())
    _, height = frame_size(chart)
    per_unit = height / (data["y"].max() - data["y"].min() + 1)
    box = chart.locator(".layer_4_marks path").nth(which).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 1.5 * per_unit, steps=5)
    page.mouse.up()
    page.wait_for_timeout(400)
    moved = explorer.get_by_role("slider", name="moved by", exact=True)
    by = float(moved.get_attribute("aria-valuetext"))
    assert by == pytest.approx(1.5, abs=0.11)
    which_moved = explorer.get_by_role("slider", name="observation to move", exact=True)
    assert which_moved.get_attribute("aria-valuetext") == str(which + 1)
    rows.loc[which, "y"] += by
    fit = fit_mixed("y ~ x + (x | cluster)", data)
    z = np.column_stack([np.ones(len(rows)), rows["x"]])
    g, fixed = random_covariance(fit).to_numpy(), fit.fixed.to_numpy()
    v = z @ g @ z.T + fit.sigma**2 * np.eye(len(z))
    mixed = fixed + g @ z.T @ np.linalg.solve(v, rows["y"] - z @ fixed)
    said = chart.locator(".layer_5_marks").text_content().replace("\N{MINUS SIGN}", "-")
    told = [float(number) for number in re.search("mixed: ([^,]+), (.*)$", said).groups()]
    assert told == pytest.approx(mixed, abs=0.006)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (640, 450)])
def test_the_chart_stays_in_view_while_its_controls_are_used(visit, address, width, height):
    visited = visit(width=width)
    visited.page.set_viewport_size({"width": width, "height": height})
    page = visited.open(f"{address}/chapters/shrinkage.html", near=-1)
    explorer = page.locator(".explore").last
    for handle in explorer.get_by_role("slider").all():
        explorer.evaluate("e => e.scrollIntoView({ behavior: 'instant' })")
        handle.evaluate("e => e.scrollIntoView({ block: 'nearest', behavior: 'instant' })")
        page.wait_for_timeout(80)
        frame = explorer.locator("svg.marks .root path.background").first.bounding_box()
        inside = min(frame["y"] + frame["height"], height) - max(frame["y"], 0)
        assert inside >= 0.8 * frame["height"] and frame["height"] >= 80
        # Nor does it hide the control that is used.
        assert handle.evaluate(
            """handle => {
                const box = handle.getBoundingClientRect();
                return handle === document.elementFromPoint(box.x + 5, box.y + box.height / 2);
            }"""
        )


# Controls, and what is in them, that reach beyond their explorer.
BEYOND = """() => [...document.querySelectorAll(".explore :is(.explore-control, .explore-tools) *")]
    .filter((part) => part.checkVisibility())
    .filter((part) => {
        const box = part.getBoundingClientRect();
        const room = part.closest(".explore").getBoundingClientRect();
        return box.width && (box.right > room.right + 1 || box.left < room.left - 1);
    })
    .map((part) => part.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("name", ["chapters/shrinkage", "chapters/your-data"])
@pytest.mark.parametrize(("width", "height"), [(320, 640), (640, 450)])
def test_explorers_fit_the_smallest_phone_and_twofold_zoom(visit, address, name, width, height):
    visited = visit(width=width)
    visited.page.set_viewport_size({"width": width, "height": height})
    page = visited.open(f"{address}/{name}.html")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BEYOND) == []
    assert page.evaluate(CLIPPED) == []


def test_six_worlds_move_with_one_slider(visit, address):
    page = visit().open(f"{address}/chapters/shrinkage.html", near=4)
    explorer = page.locator(SIX_WORLDS)
    explorer.get_by_role("slider", name="pull", exact=True).fill("80")
    page.wait_for_timeout(500)
    charts = explorer.locator("svg.marks").all()
    assert len(charts) == 6
    for chart, (world, table) in zip(
        charts, pulled_worlds().groupby("world", sort=False), strict=True
    ):
        said = chart.locator(".role-title-text").text_content()
        width, height = frame_size(chart)
        clusters = table[table["n"] > 1]
        pulled = {
            effect: 0.2 * clusters[f"no_{effect}"] + 0.8 * clusters[f"partial_{effect}"]
            for effect in ("Intercept", "x")
        }
        expected = np.column_stack(
            [(pulled["Intercept"] + 2) / 6 * width, height - (pulled["x"] + 2) / 5 * height]
        )
        drawn = line_points(chart, 4, points=1)[:, 0]
        assert np.abs(drawn - expected).max() <= 0.5
        off = [clusters["no_x"] - clusters["true_x"], pulled["x"] - clusters["true_x"]]
        own, now = (float((error**2).mean() ** 0.5) for error in off)
        assert world in said and f"error {own:.3f} \u2192 {now:.3f}" in said


def test_what_a_reader_takes_hold_of_stops_playing(visit, address):
    page = visit().open(f"{address}/chapters/index.html")
    handle = page.get_by_role("slider", name="pull", exact=True)
    page.get_by_role("button", name="play pull").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="pause pull").wait_for()
    handle.press("End")
    page.get_by_role("button", name="play pull").wait_for()
    assert handle.get_attribute("aria-valuetext") == "150"


@pytest.mark.parametrize("pull", [0, 60, 100, 150])
def test_the_pull_shows_pythons_points_and_errors(visit, address, pull):
    page = visit().open(f"{address}/chapters/index.html")
    explorer = page.locator(".explore")
    world = "3 observations per cluster"
    explorer.get_by_role("radio", name=world).check()
    slider = explorer.get_by_role("slider", name="pull", exact=True)
    slider.fill(str(pull))
    explorer.get_by_role("checkbox", name="show the truth").check()
    page.wait_for_timeout(500)
    table = pulled_clusters(world)
    width, height = frame_size(explorer)

    def pixels(intercepts, slopes):
        return np.column_stack(
            [(intercepts + 1.2) / 4.4 * width, height - (slopes + 1.2) / 3.4 * height]
        )

    share = pull / 100
    pulled = {
        effect: table[f"no_{effect}"] + share * (table[f"partial_{effect}"] - table[f"no_{effect}"])
        for effect in ("Intercept", "x")
    }
    expected = pixels(pulled["Intercept"], pulled["x"])
    assert np.abs(positions(explorer, 4) - expected).max() <= 0.5
    truths = pixels(table["true_Intercept"], table["true_x"])
    assert np.abs(positions(explorer, 3) - truths).max() <= 0.5
    error = np.sqrt(((pulled["x"] - table["true_x"]) ** 2).mean())
    own = np.sqrt(((table["no_x"] - table["true_x"]) ** 2).mean())
    said = explorer.locator(".role-title-text").text_content()
    assert f"own estimates {own:.3f}, this pull {error:.3f}" in said


def test_forced_colours_tell_the_chosen_from_the_others(visit, address):
    page = visit(forced_colors="active").open(f"{address}/chapters/index.html")
    label = ".explore-options label"
    edges = page.locator(label).evaluate_all(
        """labels => labels.map((label) => [label.querySelector("input").checked,
            getComputedStyle(label).outlineStyle, getComputedStyle(label).borderTopStyle])"""
    )
    assert edges.count([True, "solid", "solid"]) == 1
    assert edges.count([False, "none", "solid"]) == len(edges) - 1


def test_vega_and_states_come_with_the_first_explorer_near_the_window(visit, address):
    visited, asked = visit(), []
    visited.page.on("request", lambda request: asked.append(request.url))
    visited.page.goto(f"{address}/chapters/cluster-weighting.html")
    visited.page.wait_for_timeout(500)
    late = ("vega.js", "/explorers/", "embed-amd.js", "mathjax", "fontawesome.js")
    assert [url for url in asked if any(part in url for part in late)] == []
    visited.page.locator(".explore").scroll_into_view_if_needed()
    visited.page.wait_for_function("document.querySelector('.explore svg.marks')")
    assert [sum(part in url for url in asked) for part in late] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("name", ["chapters/index", "chapters/shrinkage"])
def test_what_a_page_begins_with_is_asked_for_at_once_and_once(visit, address, name):
    visited, asked = visit(), []
    visited.page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    # A server that forbids to keep anything.
    forgets = {"cache-control": "no-store"}
    visited.page.route(
        "**/*.js*", lambda route: route.fulfill(response=route.fetch(), headers=forgets)
    )
    visited.page.goto(f"{address}/{name}.html")
    visited.page.wait_for_function("document.querySelector('.explore svg.marks')")
    top = visited.page.locator("[data-top]").get_attribute("data-top").rpartition("/")[2]
    scripts = [url for url in asked if ".js" in url]
    assert [scripts.count(top), sum("vega.js" in url for url in scripts)] == [1, 1]
    assert all(scripts.index(url) < 2 for url in scripts if url == top or "vega.js" in url)
    assert visited.troubles == []


UNKNOWN = {
    "model_name": "HTMLModel",
    "model_module": "@jupyter-widgets/controls",
    "model_module_version": "2.0.0",
    "state": {"_view_name": "HTMLView", "_view_module": "@jupyter-widgets/controls",
              "_view_module_version": "2.0.0", "value": "planted widget"},
}  # fmt: skip


def test_a_kind_not_known_is_left_to_the_widget_manager(visit, address):
    view = (
        '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "planted"}</script>'
    )
    kept = '<script type="application/vnd.jupyter.widget-state+json">{"state":{'

    def plant(route):
        text = route.fetch().text()
        assert text.count(kept) == 1
        text = text.replace(kept, f'{view}{kept}"planted":{json.dumps(UNKNOWN)},')
        route.fulfill(body=text, status=200, content_type="text/html")

    visited = visit()
    visited.page.route("**/index.html", plant)
    page = visited.open(f"{address}/chapters/index.html")
    page.get_by_text("planted widget").wait_for()
    # The others stay the browser's own, and answer.
    slider = page.get_by_role("slider", name="pull", exact=True)
    assert changes(page.locator(".explore"), lambda: slider.press("End"))


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_figure_stands_without_scripts(visit, address, name):
    plain = visit(java_script_enabled=False).page
    plain.goto(f"{address}/{name}.html")
    # One that the page folds waits for its reader, with or without scripts.
    drawings = plain.locator("figure.vega-chart:not(details:not([open]) *)")
    assert drawings.count() >= plain.locator(".explore-static").count() == EXPLORERS[name]
    for drawing in drawings.all():
        assert drawing.locator("svg:visible").count() == 1
        assert drawing.locator("svg:visible").bounding_box()["width"] > 150


def test_pages_without_controls_load_none_of_their_scripts():
    for name in PAGES:
        text = (SITE / f"{name}.html").read_text(encoding="utf-8")
        assert ("controls.js" in text) == ("widget-view+json" in text) == (name in EXPLORERS)
        for script in ("mathjax.js", "fontawesome.js", 'src="../_static/vega.js'):
            assert script not in text
