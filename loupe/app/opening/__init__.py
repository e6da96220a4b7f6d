"""The process that opens a pickle and can do nothing else: `child` is its whole life, `kernel` and `walls` hold it in.

Nothing here is imported by the server. A pickle is a program; `torch.load(weights_only=True)` runs only the harmless
part of it, and everything in this room is for the day when that turns out not to be enough.
"""
