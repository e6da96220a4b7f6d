"""Numbers for people: three significant digits, a real minus sign, and words only where they have a definition."""

import math


def show(value: float, digits: int = 3) -> str:
    """Three significant digits without exponent where that stays short: 0.731, 12.4, 1230, -0.052, 4.1e-07."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    text = (
        f"{value:.{digits - 1}e}" if magnitude < -4 or magnitude > 6 else f"{value:.{max(0, digits - 1 - magnitude)}f}"
    )
    return text.replace("-", "−", 1) if value < 0 else text


def percent(probability: float) -> str:
    """A probability as percent: 37 %, 0.4 %, <0.1 %."""
    if probability >= 0.0995:
        return f"{probability * 100:.0f} %"
    return f"{probability * 100:.1f} %" if probability >= 0.001 else "<0.1 %"


def seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def trust(relative_rmse: float) -> str:
    """How far the words carry the activation: high below 0.3 of relative error, medium below 0.5, else low."""
    return "high" if relative_rmse < 0.3 else "medium" if relative_rmse < 0.5 else "low"
