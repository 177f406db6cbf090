"""The simulator: one seed draws a world, its faults and its operators, and checkers look on.

`draw.py` makes a seed into a setup and a plan of steps; `steps.py` carries steps out; `run.py` lets
a world live through them, heals it and asks whether everything has come back; `story.py` keeps a
failing run as text, `shrink.py` makes it small.
"""
