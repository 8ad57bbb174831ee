"""Draw the picture that other sites show beside a link to the book.

``python -m extensions.card`` writes it again, after a change to the chart or the title.
"""

from __future__ import annotations

from pathlib import Path

import altair as alt
import vl_convert

from helpers import charts, create_data, fit_mixed, shrinkage

CARD = Path(__file__).resolve().parents[1] / "chapters" / "_static" / "card.png"
# What the sites that show previews ask for, in pixels.
WIDTH, HEIGHT = 1200, 630


def card():
    """Return the chart of chapter 1 as a picture with the book's title above it."""
    table = shrinkage(fit_mixed("y ~ x + (x | cluster)", create_data()))
    view = {"Intercept": (-0.45, 2.3), "x": (-0.25, 1.35)}
    title = alt.TitleParams(
        "Borrowing Strength",
        subtitle="Shrinkage in mixed-effects models, in Python",
        fontSize=76,
        subtitleFontSize=38,
        subtitlePadding=14,
        offset=24,
    )
    return (
        charts.shrinkage_paths(table, view, title="")
        .properties(
            title=title,
            width=WIDTH,
            height=HEIGHT,
            padding=40,
            background="white",
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        .configure_axis(disable=True)
        .configure_point(size=220, strokeWidth=3)
        .configure_rule(strokeWidth=2)
        .configure_legend(labelFontSize=26, titleFontSize=26, symbolSize=320, titleLimit=0)
    )


if __name__ == "__main__":
    CARD.write_bytes(vl_convert.vegalite_to_png(card().to_dict(), scale=1))
