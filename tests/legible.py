"""What a reader may rely on in a figure: texts that are whole, apart, large enough."""

from itertools import combinations


def check_legible(figure):
    """Shorter than a page; no text below 8 points, cut off, or on another."""
    assert figure.get_figheight() < 10
    width, height = figure.bbox.size
    placed = texts(figure)
    for text, box in placed:
        assert text.get_fontsize() >= 8, text
        assert box.x0 >= -1 and box.y0 >= -1, (text, box)
        assert box.x1 <= width + 1 and box.y1 <= height + 1, (text, box)
    for (a, one), (b, other) in combinations(placed, 2):
        assert not one.padded(-1.5).overlaps(other.padded(-1.5)), (a, b)


def texts(figure):
    """Every text that the figure shows, with its place in pixels."""
    from matplotlib.text import Text

    if figure.stale:  # else it is drawn already, and a draw takes long
        figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    hidden = {id(label) for axes in figure.axes for label in beyond(axes)}
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    shown = [t for t in found if id(t) not in hidden]
    # An annotation's own extent would hold the line that leads to its mark.
    return [(t, Text.get_window_extent(t, renderer)) for t in shown]


def printed(ax):
    """What a figure that is drawn says, in one string."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in ax.figure.findobj(Text))


def beyond(axes):
    """The tick labels that matplotlib keeps beyond the ends of an axis."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - 1e-6 <= tick.get_loc() <= high + 1e-6:
                yield from (tick.label1, tick.label2)
