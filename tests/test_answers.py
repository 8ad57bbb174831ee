"""Answers on the page: exercises, predictions, quizzes and the page that lists them, as a reader
with a browser, a keyboard, no script, no storage or a printer finds them."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from docutils import nodes

from classroom import pages, release, sources
from classroom.release import checks
from questions import places, read_range, split_choices, waiting
from tests.browsing import APPROACH, PAGES, SITE, Visit
from tests.test_site import violations_on

SETS = {path.stem: path for path in sources.exercise_files()}
CHAPTERS = [
    "chapters/shrinkage",
    "chapters/random-slopes",
    "chapters/categorical-effects",
    "chapters/cluster-weighting",
]
PROGRESS = "chapters/progress"
BLOCKED = """
for (const name of ["localStorage", "sessionStorage"])
    Object.defineProperty(window, name, {
        get() { throw new DOMException("denied", "SecurityError"); }, configurable: true,
    });
"""


@pytest.fixture(scope="module")
def records():
    """What the reference answers with the book's own numbers, by set: computed when asked for."""
    known = {}

    def record(name):
        if name not in known:
            notebook = sources.read_source(SETS[name])
            # In a thread of its own: the browser's loop is running in this one.
            with ThreadPoolExecutor(1) as pool:
                run = pool.submit(release.run_reference, notebook, release.BOOK, name)
            known[name] = run.result()[1]
        return known[name]

    return record


def ask(visited, url):
    """Open a page whose predictions wait, and with them their explorers."""
    visited.page.goto(url)
    visited.page.wait_for_selector("html.answering")
    return visited.page


def open_exercises(visit, address, name):
    return ask(visit(asks=True), f"{address}/chapters/exercises/{name}.html")


def answered(page, name, value):
    """Type an answer, press the button, and return what the page says."""
    box = page.locator(f"[data-name='{name}']")
    inputs = box.locator(".boxes input").all()
    for field, number in zip(inputs, np.ravel(value).tolist(), strict=True):
        field.fill(str(number))
    box.evaluate("box => box.querySelector('.question-status').textContent = ''")
    box.get_by_role("button", name="Check").click()
    page.wait_for_function(
        "box => box.querySelector('.question-status').textContent", arg=box.element_handle()
    )
    return box.locator(".question-status").text_content()


# As `answered` does it, without a keyboard: for some hundreds of answers.
ANSWERED = """async ([name, tried]) => {
    const box = document.querySelector(`[data-name="${name}"]`);
    const status = box.querySelector(".question-status");
    const button = [...box.querySelectorAll("button")].find((one) => one.textContent === "Check");
    const said = [];
    for (const values of tried) {
        box.querySelectorAll(".boxes input").forEach((input, at) => {
            input.value = values[at];
            input.dispatchEvent(new Event("input", { bubbles: true }));
        });
        status.textContent = "";
        button.click();
        while (!status.textContent) await new Promise((again) => setTimeout(again, 5));
        said.push(status.textContent);
    }
    return said;
}"""


def python_says(check, name, value):
    """What the notebook's check says of an answer, as the page words it."""
    try:
        check(**{name: value})
    except checks.NotYet as message:
        return f"Not yet: {str(message).removeprefix(f'{name}: ')}"
    return "Right."


@pytest.mark.parametrize("name", SETS)
def test_the_page_says_what_the_notebooks_check_says(visit, address, records, name, capsys):
    record = records(name)
    check = checks.Checks(checks.make_key(record))
    page = open_exercises(visit, address, name)
    asked = set(record["answers"]) - set(record["hidden"])
    boxes = page.locator("[data-name]").evaluate_all("all => all.map((box) => box.dataset.name)")
    assert set(boxes) == asked and len(boxes) == len(asked)
    for answer in boxes:
        right, tolerance = record["answers"][answer], record["tolerances"][answer]
        tried = [wrong for _, wrong in record["mistakes"][answer]]
        tried = [value for value in tried if np.shape(value) == np.shape(right)]
        near = [np.add(right, shift * tolerance).tolist() for shift in (0.99, -0.99, 1.5, -1.5)]
        scaled = [np.multiply(right, factor).tolist() for factor in (-1, 100)]
        values = [right, *tried, *near, *scaled, right]
        texts = [[str(number) for number in np.ravel(value).tolist()] for value in values]
        said = page.evaluate(ANSWERED, [answer, texts])
        assert said == [python_says(check, answer, value) for value in values]
        assert said[0] == said[-1] == "Right."


def test_answers_are_checked_from_disk(visit, records):
    visited = visit(asks=True)
    page = ask(visited, (SITE / "chapters" / "exercises" / "e1-shrinkage.html").as_uri())
    assert answered(page, "by_hand", records("e1-shrinkage")["answers"]["by_hand"]) == "Right."
    assert answered(page, "by_hand", 12345) == "Not yet: this is not the value."
    assert visited.troubles == []


@pytest.mark.parametrize("name", SETS)
def test_neither_answers_nor_mistakes_can_be_read_off(records, name):
    record = records(name)
    page = (SITE / "chapters" / "exercises" / f"{name}.html").read_text(encoding="utf-8")
    key = json.loads(re.search(r'id="answer-key">(.*?)</script>', page)[1])["key"]
    notebook = (SITE / "chapters" / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8")
    # The page holds what the notebook holds that it offers, and nothing else of the reference.
    assert key in notebook
    outside = page.replace(key, "")
    messages = [text for told in record["mistakes"].values() for text, _ in told]
    assert len(messages) > 8
    assert [text for text in messages if text in outside] == []


@pytest.mark.parametrize("solutions", [True, False])
@pytest.mark.parametrize("name", SETS)
def test_boxes_are_there_with_and_without_solutions(name, solutions):
    notebook = sources.read_source(SETS[name])
    cells = pages.page_notebook(notebook, solutions=solutions).cells
    boxes = [cell for cell in cells if "{answer-box}" in cell.source]
    places_to_write = [cell for cell in cells if "{text-answer}" in cell.source]
    assert len(boxes) == sum(sources.is_check(cell) for cell in notebook.cells) > 0
    assert len(places_to_write) == sum(sources.is_essay(cell) for cell in notebook.cells) > 0
    assert any("A model answer" in cell.source for cell in cells) is solutions
    assert not any("HIDDEN" in cell.source for cell in boxes)


def test_numbers_are_read_as_people_write_them(visit, address, records):
    right = records("e1-shrinkage")["answers"]["share_kept"]
    page = open_exercises(visit, address, "e1-shrinkage")
    for text in (
        f"{right:.5f}",
        f" {right:.5f} ",
        f"{right:.5f}".replace(".", ","),
        f"{right:.5e}",
    ):
        assert answered(page, "share_kept", text) == "Right.", text
    percent = "Not yet: this is a percentage; give it as a share, so divide by 100."
    assert answered(page, "share_kept", f"{100 * right:.3f} %") == percent
    assert answered(page, "share_kept", f"−{right:.5f}").endswith(
        "the sign is the wrong way round."
    )
    for text in ("banana", "1/4", "0.1.2", "nan", "1e"):
        assert answered(page, "share_kept", text) == f"“{text}” is not a number."
    box = page.locator("[data-name=share_kept]")
    assert answered(page, "share_kept", "") == "Box is empty."
    assert box.locator("input").get_attribute("aria-invalid") == "true"
    assert box.locator("input").evaluate("input => input === document.activeElement")


def test_a_pasted_list_fills_its_boxes(visit, address, records):
    right = records("e5-weighting")["answers"]["weights"]
    page = open_exercises(visit, address, "e5-weighting")
    box = page.locator("[data-name=weights]")
    text = str(np.array(right))
    box.locator("input").first.evaluate(
        """(input, text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text", text);
            const options = { clipboardData, bubbles: true, cancelable: true };
            input.dispatchEvent(new ClipboardEvent("paste", options));
        }""",
        text,
    )
    assert len({field.input_value() for field in box.locator("input").all()}) > 1
    box.locator("input").last.press("Enter")
    page.wait_for_function(
        "() => document.querySelector('[data-name=weights]').dataset.verdict === 'right'"
    )


def test_what_is_written_is_kept_and_can_be_taken_along(visit, address):
    page = open_exercises(visit, address, "e1-shrinkage")
    box = page.get_by_label("Your answer", exact=True)
    low = box.bounding_box()["height"]
    box.fill("Intercepts hardly differ.\n" * 12)
    assert box.bounding_box()["height"] > low + 100
    page.reload()
    page.wait_for_selector("html.answering")
    assert box.input_value().startswith("Intercepts hardly differ.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my answers").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text.startswith("## Exercises 1: Shrinkage, 5. A world of your own\n\nIntercepts hardly")


def quizzes_and_predictions(page):
    page.wait_for_selector("html.answering")
    return page.locator(".asked.check").all(), page.locator(".asked.predict").all()


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request, browser, address):
    """A chapter, opened once for the tests of its quizzes and of its predictions."""
    visited = Visit(browser, address, asks=True)
    yield ask(visited, f"{address}/{request.param}.html")
    visited.context.close()


def test_a_choice_opens_its_reason(chapter):
    page = chapter
    quizzes, _ = quizzes_and_predictions(page)
    assert len(quizzes) == 3
    for asked in quizzes:
        reasons = asked.locator(".reason")
        assert not any(reason.is_visible() for reason in reasons.all())
        for choice in asked.locator(".choice").all():
            right = choice.get_attribute("data-right") is not None
            choice.locator("label").click()
            assert choice.locator(".reason").is_visible()
            assert choice.locator(".verdict").inner_text() == ("Right." if right else "No.")
            assert (
                asked.get_by_role("status")
                .inner_text()
                .startswith("Right." if right else "That is not it.")
            )
            described = choice.get_by_role("radio").get_attribute("aria-describedby")
            assert choice.locator(".reason").get_attribute("id") == described
    assert page.locator(".choice[data-right] .reason").count() == len(quizzes)


def test_a_prediction_hides_the_answer_until_it_is_asked_for(chapter):
    page = chapter
    _, predictions = quizzes_and_predictions(page)
    assert len(predictions) >= 3
    for asked in predictions:
        shown = page.locator(f"#{asked.get_attribute('id')}-answer")
        assert shown.get_attribute("hidden") == "until-found"
        assert shown.evaluate("shown => shown.getBoundingClientRect().height") == 0
        # Nothing in it takes the focus.
        assert shown.locator("a, button, input, summary").evaluate_all(
            "all => all.every((one) => { one.focus(); return one !== document.activeElement; })"
        )
        button = asked.get_by_role("button")
        button.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        assert shown.bounding_box()["height"] > 20


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_prediction_is_named_beside_the_answer_and_kept(visit, address, name):
    page = ask(visit(asks=True), f"{address}/{name}.html")
    for asked in quizzes_and_predictions(page)[1]:
        slider = asked.get_by_role("slider")
        if slider.count():
            slider.press("ArrowRight")
            value = slider.get_attribute("aria-valuetext")
            said = rf"Your prediction: {re.escape(value)}\.( That is outside .+)?"
        else:
            asked.get_by_role("radio").first.check()
            said = r"You predicted right\.|You predicted: .+ It is: .+|Your prediction: .+"
        asked.get_by_role("button").click()
        assert re.fullmatch(said, asked.get_by_role("status").inner_text())
    page.reload()
    for asked in quizzes_and_predictions(page)[1]:
        assert asked.get_attribute("data-open") == "yes"
        assert asked.get_by_role("status").inner_text()


def test_a_number_on_an_axis_is_marked_on_the_chart(visit, address):
    page = ask(visit(asks=True), f"{address}/chapters/cluster-weighting.html")
    asked = page.locator(".asked.predict[data-axis=y]")
    asked.get_by_role("slider").fill("0.1")
    asked.get_by_role("button").click()
    assert "outside of the chart's frame" in asked.get_by_role("status").inner_text()
    asked.get_by_role("button").click()
    asked.get_by_role("slider").fill("0.7")
    asked.get_by_role("button").click()
    mark = page.locator(".prediction-mark")
    mark.first.wait_for()
    assert mark.count() == 1
    middles = """all => all.map((one) => {
        const box = one.getBoundingClientRect();
        return [Number(one.textContent), box.y + box.height / 2];
    })"""
    drawing = mark.locator("xpath=ancestor::*[name()='svg']")
    axes = [
        np.array(axis.locator("text").evaluate_all(middles))
        for axis in drawing.locator(".role-axis-label").all()
    ]
    (upright,) = (axis for axis in axes if np.ptp(axis[:, 1]) > 50)
    per_unit, zero = np.polyfit(*upright.T, 1)
    line = mark.locator("line").evaluate("line => line.getBoundingClientRect().y")
    assert line == pytest.approx(zero + 0.7 * per_unit, abs=2)
    assert mark.locator("text").text_content() == "you: 0.7"


def test_arrow_keys_on_their_way_are_no_answers(visit, address):
    page = ask(visit(asks=True), f"{address}/chapters/shrinkage.html")
    asked = quizzes_and_predictions(page)[0][0]
    radios = asked.get_by_role("radio")
    radios.first.focus()
    page.keyboard.press("ArrowDown")
    assert radios.nth(1).is_checked()
    page.keyboard.press("ArrowDown")
    assert not any(reason.is_visible() for reason in asked.locator(".reason").all())
    assert asked.get_by_role("button", name="Open this answer").is_visible()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert [reason.is_visible() for reason in asked.locator(".reason").all()] == [
        False,
        True,
        False,
    ]
    page.goto(f"{address}/{PROGRESS}.html")
    state = page.locator("li[data-question*='#check-two-clusters'] .progress-state")
    assert state.inner_text() == "right at the first try"


def test_progress_says_what_was_answered_and_how(visit, address):
    visited = visit(asks=True)
    page = ask(visited, f"{address}/chapters/shrinkage.html")
    first, second, third = quizzes_and_predictions(page)[0]
    right = ".choice[data-right] label"
    first.locator(right).click()
    second.locator(".choice:not([data-right]) label").first.click()
    second.locator(right).click()
    third.locator(".choice:not([data-right]) label").first.click()
    page.goto(f"{address}/{PROGRESS}.html")
    entries = page.locator("li[data-question*='shrinkage#check-'] .progress-state")
    states = ["right at the first try", "right at try 2", "not yet right, 1 try"]
    assert entries.all_inner_texts() == states
    summary = page.locator(".progress-summary")
    count = page.locator("li[data-question]").count()
    assert summary.inner_text().startswith(f"3 of {count} answered; 2 right, 1 of them")
    page.get_by_role("button", name="Clear my answers").click()
    assert set(entries.all_inner_texts()) == {"not answered"}
    page.get_by_role("button", name="Put them back").click()
    assert entries.all_inner_texts() == states
    assert visited.troubles == []


def test_progress_lists_every_question_of_the_book(visit, address):
    page = visit().open(f"{address}/{PROGRESS}.html")
    listed = page.locator("li[data-question]").evaluate_all(
        "all => all.map((one) => one.dataset.question)"
    )
    asked = []
    for name in PAGES:
        text = (SITE / f"{name}.html").read_text(encoding="utf-8")
        asked += re.findall(r'class="asked [^>]*data-question="([^"]+)"', text)
    assert listed == asked and len(asked) > 50
    for link in page.locator("li[data-question] a").evaluate_all("all => all.map((a) => a.href)"):
        file, _, target = link.removeprefix(f"{address}/").partition("#")
        assert f'id="{target}"' in (SITE / file).read_text(encoding="utf-8")


def test_a_reader_may_do_without_predicting(visit, address):
    page = ask(visit(asks=True), f"{address}/{PROGRESS}.html")
    page.get_by_label("Show at once what predictions hide").check()
    page.goto(f"{address}/chapters/shrinkage.html")
    quizzes_and_predictions(page)
    assert page.locator(".predicted[hidden]").count() == 0


def test_where_storage_is_blocked_everything_works_and_says_so(visit, address, records):
    visited = visit(asks=True)
    visited.context.add_init_script(BLOCKED)
    page = ask(visited, f"{address}/chapters/exercises/e1-shrinkage.html")
    page.wait_for_selector("html.answering")
    right = records("e1-shrinkage")["answers"]["by_hand"]
    assert answered(page, "by_hand", right) == "Right."
    page.get_by_label("Your answer", exact=True).fill("A word.")
    assert "keeps nothing" in page.locator(".asked.text .question-status").inner_text()
    page.goto(f"{address}/{PROGRESS}.html")
    assert "blocks storage" in page.locator(".progress-summary").inner_text()
    # The theme and the search do not stop either.
    page.get_by_role("button", name="Color mode").first.click()
    assert page.evaluate("document.documentElement.dataset.mode") in ("light", "dark")
    page.goto(f"{address}/search.html?q=shrinkage")
    page.locator("#search-results li").first.wait_for()


def test_without_scripts_everything_is_shown(visit, address):
    page = visit(asks=True, java_script_enabled=False).page
    page.goto(f"{address}/chapters/shrinkage.html")
    assert all(shown.is_visible() for shown in page.locator(".predicted").all())
    assert all(reason.is_visible() for reason in page.locator(".reason").all())
    assert page.locator(".reason").count() >= 9
    assert not any(one.is_visible() for one in page.locator(".asked .needs-script").all())
    page.goto(f"{address}/{PROGRESS}.html")
    assert "No scripts run here" in page.inner_text("article")


def test_a_script_that_does_not_come_hides_nothing(visit, address):
    visited = visit(asks=True)
    visited.page.route("**/answers.js*", lambda route: route.abort())
    page = visited.page
    page.goto(f"{address}/chapters/shrinkage.html")
    assert all(shown.bounding_box()["height"] > 20 for shown in page.locator(".predicted").all())


def test_on_paper_everything_is_shown_with_a_line_to_write_on(visit, address):
    page = ask(visit(asks=True), f"{address}/chapters/shrinkage.html")
    quizzes_and_predictions(page)
    page.emulate_media(media="print")
    assert all(shown.bounding_box()["height"] > 20 for shown in page.locator(".predicted").all())
    assert all(reason.is_visible() for reason in page.locator(".reason").all())
    assert not any(button.is_visible() for button in page.locator(".asked button").all())
    page = open_exercises(visit, address, "e1-shrinkage")
    page.emulate_media(media="print")
    for field in page.locator(".asked :is(.boxes input, textarea)").all():
        assert field.is_visible()
        edges = field.evaluate(
            "f => ['Top', 'Bottom'].map((e) => getComputedStyle(f)[`border${e}Width`])"
        )
        assert edges[0] == "0px" and edges[1] != "0px"


@pytest.mark.parametrize(
    "name", ["chapters/cluster-weighting", "chapters/exercises/e4-categorical", PROGRESS]
)
def test_answered_pages_shut_nobody_out(visit, address, name):
    page = ask(visit(asks=True, scheme="dark", width=390), f"{address}/{name}.html")
    page.wait_for_selector("html.answering")
    for choice in page.locator(".check .choice label").all():
        choice.click()
    for button in page.locator(".predict button, .exercise button").all():
        button.click()
    # The theme makes what now scrolls reachable by keys once the size has settled.
    page.wait_for_timeout(700)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations_on(page) == []
    for control in page.locator(".asked :is(button, .boxes input, textarea):visible").all():
        assert control.bounding_box()["height"] >= 24


def test_forced_colours_tell_right_from_wrong_in_words(visit, address):
    page = ask(visit(asks=True, forced_colors="active"), f"{address}/chapters/shrinkage.html")
    asked = quizzes_and_predictions(page)[0][0]
    asked.locator(".choice label").first.click()
    outline = asked.evaluate("e => getComputedStyle(e).borderTopStyle")
    assert outline == "solid"
    assert asked.locator(".choice").first.locator(".verdict").inner_text() in ("Right.", "No.")


# Shadows and backgrounds are not painted there: edges say where something can be used, an outline
# where the focus is, a colour of the system which line is the reader's.
INVISIBLE = """() => [...document.querySelectorAll("article :is(button, input, select, textarea)")]
    .filter((tool) => tool.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
    .filter((tool) => {
        const own = ["radio", "checkbox", "range"].includes(tool.type);
        tool.focus({ focusVisible: true });
        // The buttons of explorers that look like one are labels around what has the focus.
        const styles = [tool, tool.closest("label") ?? tool].map((one) => getComputedStyle(one));
        const focused = styles.some(({ outlineStyle, outlineWidth }) =>
            outlineStyle !== "none" && parseFloat(outlineWidth) >= 1);
        const { borderTopStyle, borderTopWidth, borderTopColor } = styles[0];
        const edged = borderTopStyle === "solid" && parseFloat(borderTopWidth) >= 1
            && borderTopColor !== getComputedStyle(document.body).backgroundColor;
        return !focused || !(own || edged);
    })
    .map((tool) => tool.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_show_what_can_be_used(visit, address, scheme):
    visited = visit(asks=True, forced_colors="active", scheme=scheme)
    page = ask(visited, f"{address}/chapters/cluster-weighting.html")
    quizzes, predictions = quizzes_and_predictions(page)
    for asked in predictions:
        asked.get_by_role("button").click()
    for asked in quizzes:
        asked.locator(".choice label").first.click()
    page.locator(".predict[data-axis=y]").get_by_role("slider").press("ArrowRight")
    page.locator(".predict[data-axis=y]").get_by_role("button").dblclick()
    line = page.locator(".prediction-mark line")
    highlight = "line => { line.style.color = 'Highlight'; return getComputedStyle(line).color; }"
    assert line.evaluate("line => getComputedStyle(line).stroke") == line.evaluate(highlight)
    page.evaluate(APPROACH)
    assert page.locator(".explore-tools button:visible").count() >= 3
    assert page.evaluate(INVISIBLE) == []
    page = ask(visited, f"{address}/chapters/exercises/e1-shrinkage.html")
    assert answered(page, "by_hand", 12345).startswith("Not yet")
    assert page.locator("[data-name=by_hand] .question-status").inner_text().startswith("Not yet")
    assert page.evaluate(INVISIBLE) == []
    page = ask(visited, f"{address}/{PROGRESS}.html")
    assert "not yet right, 1 try" in page.inner_text("article")
    assert page.evaluate(INVISIBLE) == []


def test_choices_are_told_from_what_stands_before_them():
    lines = ["Think.", "", "- [ ] A *b*", "  Because.", "", "  And so on.", "- [x] C"]
    before, choices = split_choices(lines)
    assert before == ["Think.", ""]
    assert choices == [(False, "A *b*", ["Because.", "", "And so on."]), (True, "C", [])]
    assert split_choices([]) == ([], [])


@pytest.mark.parametrize("wrong", ["0, 10", "0, 10, 0", "10, 0, 1", "a, b, c", "0, 1, 2", ""])
def test_a_slider_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        read_range(wrong)


def test_boxes_are_named_by_row_and_column():
    assert places([3]) == ["1", "2", "3"]
    assert places([2, 2]) == ["1, 1", "1, 2", "2, 1", "2, 2"]


def cell():
    return nodes.container("", nodes.container(nb_element="cell_code_output"))


@pytest.mark.parametrize(
    ("following", "cells", "hidden"),
    [
        ([nodes.paragraph(), cell(), nodes.paragraph(), nodes.paragraph()], 1, 3),
        ([cell(), nodes.paragraph(), nodes.bullet_list(), nodes.paragraph()], 1, 3),
        ([cell(), nodes.bullet_list(), nodes.paragraph()], 1, 2),
        ([cell(), cell(), nodes.paragraph()], 1, 1),
        ([cell(), nodes.paragraph(), cell(), nodes.paragraph()], 2, 4),
        ([cell(), nodes.section()], 1, 1),
        ([nodes.paragraph(), nodes.paragraph()], 0, 1),
        ([nodes.paragraph()], 1, None),
        ([], 0, None),
    ],
)
def test_a_prediction_hides_up_to_the_words_below_an_output(following, cells, hidden):
    assert waiting(following, cells) == hidden
