"""The room of language models: loading, reading, changing and continuing any Hugging Face decoder.

`families` and `structure` say where a model's parts are, `hooks` reads and changes its residual stream, `partial` runs
some of its blocks, `certify` checks all of them against the model itself. `loading` and `donors` make a `LanguageModel`
from folders whose `weights` were looked at first; `tokens`, `chat`, `generate`, `sampling` and `lens` are what one does
with it. Nothing is imported here: torch and transformers take seconds, and most commands need neither.
"""
