"""The rooms of the older surface, and how to tell that an address belongs to it."""

from loupe.app.api.older import rest, slim, socket, v2

ROUTERS = (rest.router, rest.for_json, slim.router, v2.router, socket.router)
PATHS = ("/analyze", "/status", "/reset", "/ws", "/api/gpu_stats", "/api/slim", "/api/v2")


def is_older(path: str) -> bool:
    """Whether clients of the older surface ask here: they expect 422 for a bad body, and read `detail`."""
    return any(path == known or path.startswith(known + "/") for known in PATHS)
