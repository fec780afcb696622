"""Small charts as inline SVG: they follow the page's colours, light and dark, and need no script."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 320, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 38  # room for the labels
COLOURS = 4  # classes c0 … c3 of the page's style

Points = Sequence[Sequence[float]]
Range = tuple[float, float]


def lines(
    series: Mapping[str, Points],
    *,
    x: str,
    y: str = "",
    title: str = "",
    x_range: Range | None = None,
    y_range: Range | None = None,
    diagonal: bool = False,
    dots: bool = False,
) -> Markup:
    """Draw series of points [x, y]; `diagonal` adds the line of a guess, or of perfect calibration.

    `y` is the label of the axis; where the page has a heading above the chart, that is `title` instead.
    """
    across, up = _scales(series, x_range, y_range)
    parts = [*_axes(across, up, x, y)]
    if diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(
            Markup('<path class="diagonal" d="{}"/>').format(_path([(low, low), (high, high)], across, up))
        )
    for index, (label, points) in enumerate(series.items()):
        colour = f"c{index % COLOURS}"
        path = Markup('<path class="line {}" d="{}"><title>{}</title></path>')
        parts.append(path.format(colour, _path(points, across, up), label))
        if dots:
            dot = Markup(
                '<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{:.3g}, {:.3g}</title></circle>'
            )
            parts += [dot.format(colour, across(p[0]), up(p[1]), p[0], p[1]) for p in points]
    description = Markup("<title>{}</title>").format(f"{y or title} by {x}: {', '.join(series)}")
    head = Markup('<svg viewBox="0 0 {} {}" role="img" class="chart">').format(WIDTH, HEIGHT)
    return head + description + Markup("").join(parts) + Markup("</svg>")


def bullet(
    value: float,
    low: float | None,
    high: float | None,
    baseline: float | None = None,
    interval: Range | None = None,
) -> Markup:
    """Draw a value as a bar from 0 with its interval as a line over the bar's end.

    Behind it the allowed range is a band, and the baseline a tick.
    """
    ends = [end for end in interval or () if end is not None]
    numbers = [number for number in (value, low, high, baseline, 0.0, *ends) if number is not None]
    if not all(math.isfinite(number) for number in numbers):
        return Markup("")
    start, end = min(numbers), max(numbers)
    if start >= 0 and end <= 1 and max(numbers) > 0.2:
        end = 1.0  # a share of one
    else:
        end += (end - start) * 0.1 or 1.0
    scale = _Scale(start, end, 0, 120)
    allowed = scale(low if low is not None else start), scale(high if high is not None else end)
    bar = sorted((scale(0.0), scale(value)))
    rectangle = Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>')
    parts = [
        rectangle.format("allowed", allowed[0], 0, max(allowed[1] - allowed[0], 0), 14),
        rectangle.format("bar", bar[0], 4, bar[1] - bar[0], 6),
    ]
    bounds = (("bound", low), ("bound", high), ("before", baseline))
    tick = Markup('<path class="{}" d="M{:.1f} 0V14"/>')
    parts += [tick.format(kind, scale(number)) for kind, number in bounds if number is not None]
    if len(ends) == 2:
        line = Markup('<path class="interval" d="M{:.1f} 7H{:.1f}M{:.1f} 4V10M{:.1f} 4V10"/>')
        first, last = (scale(end) for end in ends)
        parts.append(line.format(first, last, first, last))
    return (
        Markup('<svg viewBox="-1 0 122 14" class="bullet" aria-hidden="true">')
        + Markup("").join(parts)
        + Markup("</svg>")
    )


class _Scale:
    """From a number's range to a range of pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return about five round numbers inside the range."""
        rough = (self.high - self.low) / 4
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _scales(
    series: Mapping[str, Points], x_range: Range | None, y_range: Range | None
) -> tuple[_Scale, _Scale]:
    points = [point for line in series.values() for point in line]
    x_low, x_high = x_range or _range([point[0] for point in points])
    y_low, y_high = y_range or _range([point[1] for point in points], margin=0.05)
    return _Scale(x_low, x_high, LEFT, WIDTH - RIGHT), _Scale(y_low, y_high, HEIGHT - BOTTOM, TOP)


def _range(values: Sequence[float], margin: float = 0.0) -> Range:
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * margin or (0.0 if high > low else abs(high) * 0.1 or 1.0)
    return low - room, high + room


def _axes(across: _Scale, up: _Scale, x: str, y: str) -> list[Markup]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    grid = Markup('<path class="grid" d="M{:.1f} {:.1f}{}"/>')
    text = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    parts = []
    for value in across.ticks():
        parts += [
            grid.format(across(value), TOP, f"V{bottom}"),
            text.format(across(value), bottom + 14, "middle", _tick(value)),
        ]
    for value in up.ticks():
        parts += [
            grid.format(LEFT, up(value), f"H{right}"),
            text.format(LEFT - 5, up(value) + 3.5, "end", _tick(value)),
        ]
    parts.append(text.format((LEFT + right) / 2, HEIGHT - 6, "middle", x))
    turned = Markup('<text transform="translate(11 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>')
    parts.append(turned.format((TOP + bottom) / 2, escape(y)))
    return parts


def _tick(value: float) -> str:
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def _path(points: Points, across: _Scale, up: _Scale) -> str:
    return "M" + "L".join(f"{across(p[0]):.1f} {up(p[1]):.1f}" for p in points)
