"""The chart with its defaults, rendered once."""

import pytest

from unit.chart.rendering import Rendered, render


@pytest.fixture(scope="session")
def chart() -> Rendered:
    """Render the chart with nothing but an image."""
    return render()
