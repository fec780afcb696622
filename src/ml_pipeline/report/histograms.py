"""A column beside its reference, as inline SVG: bars of the data, over an outline of the reference."""

from collections.abc import Sequence
from typing import TypedDict

from markupsafe import Markup

WIDTH, HEIGHT, ROW = 240, 72, 15
NAMES = 100  # pixels for the names of categories
LONGEST = 15


class Shares(TypedDict, total=False):
    """The shares of rows in each bin or category; numbers have `edges`, all else `categories`."""

    reference: Sequence[float]
    current: Sequence[float]
    edges: Sequence[float]
    categories: Sequence[str]


def histogram(shown: Shares) -> Markup:
    """Draw what a drift entry has under `shown`; empty where it has neither edges nor categories."""
    if "edges" in shown:
        return _numbers(shown)
    return _categories(shown) if "categories" in shown else Markup("")


def _numbers(shown: Shares) -> Markup:
    before, now, edges = shown["reference"], shown["current"], shown["edges"]
    top = max([*before, *now]) or 1.0
    step = WIDTH / len(now)
    bar = Markup('<rect class="now" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    bars = [
        bar.format(i * step, HEIGHT * (1 - share / top), step - 0.6, HEIGHT * share / top)
        for i, share in enumerate(now)
    ]
    corners = "".join(
        f"L{i * step:.1f} {HEIGHT * (1 - share / top):.1f}H{(i + 1) * step:.1f}"
        for i, share in enumerate(before)
    )
    outline = Markup('<path class="then" d="M0 {}{}V{}"/>').format(HEIGHT, corners, HEIGHT)
    label = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
    ends = [
        label.format(0, HEIGHT + 11, "start", f"{edges[0]:.5g}"),
        label.format(WIDTH, HEIGHT + 11, "end", f"{edges[-1]:.5g}"),
    ]
    return _svg(HEIGHT + 14, [*bars, outline, *ends])


def _categories(shown: Shares) -> Markup:
    top = max([*shown["reference"], *shown["current"]]) or 1.0
    room = WIDTH - NAMES
    parts = []
    rows = zip(shown["categories"], shown["reference"], shown["current"], strict=True)
    for i, (name, before, now) in enumerate(rows):
        text = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        y = i * ROW
        parts += [
            Markup('<text x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
                NAMES - 5, y + 11, text, name
            ),
            Markup('<rect class="now" x="{}" y="{}" width="{:.1f}" height="{}"/>').format(
                NAMES, y + 3, room * now / top, ROW - 5
            ),
            Markup('<path class="then" d="M{0} {1}H{2:.1f}V{3}H{0}"/>').format(
                NAMES, y + 2, NAMES + room * before / top, y + ROW - 1
            ),
        ]
    return _svg(len(shown["categories"]) * ROW + 2, parts)


def _svg(height: float, parts: list[Markup]) -> Markup:
    head = Markup('<svg viewBox="-1 -1 {} {}" class="histogram" aria-hidden="true">').format(
        WIDTH + 2, height + 2
    )
    return head + Markup("").join(parts) + Markup("</svg>")
