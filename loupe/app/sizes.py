"""Bytes as people read them: the one place that says so, in the unit that settings and errors use."""


def size_text(count: float) -> str:
    """In binary units: 812 B, 5.6 MiB, 25 GiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
