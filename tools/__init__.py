"""Developer tooling: runs on a bare Python, before anything is installed.

Belongs here: what Makefile and CI call. Standard library only. Must not: be imported by engine/,
shell/ or ctl/.
"""
