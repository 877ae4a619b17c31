"""Weft beside other systems: `python -m benches --help`.

One idea: every side, Weft and each peer, is a process that waits for a line, computes, and answers with milliseconds. So all are
timed alike, and a driver takes turns between two of them.
"""
