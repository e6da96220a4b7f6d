"""Loupe: a workbench for looking inside language models."""
