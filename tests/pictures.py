"""Take the pictures of README.md from the built site: ``make pictures``."""

from tests.browsing import ROOT, SITE, Visit, chromium, served

PICTURES = ROOT / "chapters" / "_static"
#: Page and number of the explorer there; what is chosen and pressed before its picture.
EXPLORERS = {
    "shrinkage": {
        "at": ("shrinkage", 5),
        "choose": ["3 observations per cluster"],
        "press": {"pooling": ["PageUp"] * 4},
    },
    "students": {"at": ("random-slopes", 2), "choose": ["student 28: both fall"]},
    "schools": {"at": ("categorical-effects", 0), "choose": ["school 10"]},
    "weights": {
        "at": ("cluster-weighting", 0),
        "press": {"intraclass correlation": ["ArrowLeft"] * 12, "huge cluster": ["End"]},
    },
}
FIGURE = '.vega-chart[aria-label*="baseline"]'


def picture_explorer(visit, address, name, *, at, choose=(), press=()):
    """Set the controls of an explorer and save what it shows."""
    chapter, number = at
    page = visit.open(f"{address}/chapters/{chapter}.html")
    # For what is higher than the window, the browser would resize it, and charts would follow.
    page.set_viewport_size({"width": 1280, "height": 1400})
    explorer = page.locator(".explore").nth(number)
    for label in choose:
        explorer.locator("select").select_option(label=label)
    for label in press:
        for key in press[label]:
            explorer.get_by_label(label, exact=True).press(key)
    # Neither a focus ring nor a hover, and everything redrawn.
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    explorer.screenshot(path=PICTURES / f"explorer-{name}.png")


def picture_page(visit, address):
    """Save the window with the first figure of the paths in its middle."""
    page = visit.open(f"{address}/chapters/shrinkage.html")
    page.set_viewport_size({"width": 1280, "height": 860})
    figure = page.locator(FIGURE).first
    figure.evaluate("figure => figure.scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / "shrinkage-page.png")


def main():
    """Take all pictures."""
    with served(SITE) as address, chromium() as browser:
        for name, steps in EXPLORERS.items():
            picture_explorer(Visit(browser, address), address, name, **steps)
        picture_page(Visit(browser, address), address)
    for path in sorted(PICTURES.glob("*.png")):
        print(path.relative_to(ROOT), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
