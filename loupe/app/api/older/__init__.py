"""The older surface: `/analyze`, `/status`, `/ws`, `/api/v2`, `/api/slim` and their neighbours, as programs know them.

Thin adapters over the services that `/api/v1` uses: the same limits, the same queue, the same saved runs. What the
older server documented and could not do is either done here or said to be ignored (`metadata.ignored_options`); a value
that was not computed is absent, where the older server wrote -1 or 0.
"""
