"""The only place that makes requests to the outside."""
