"""Control of one local PostgreSQL server: observe it, and do what the engine decided.

Here: processes, files, SQL and PostgreSQL's tools.  `instance.Instance` is the door for everybody
else.  Not here: any decision about roles, leases or lag; those are rules in `engine/`.
"""
