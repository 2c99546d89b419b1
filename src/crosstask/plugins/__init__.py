"""Parts of a user's own: `FILE.py:NAME` or `crosstask.register`, wherever a name is taken.

`files.py` runs a file, `find.py` turns what was given into the thing, and `trust.py` is the one
rule about files that a run or a model names: they run only if the user says so.
"""
