"""hae against Patroni: the same node files, machine and faults, in alternating runs.

Belongs here: cases, their measures, and the report. Must not: be part of any test, because times
on a shared machine prove nothing by themselves. The clusters come from tests/e2e/support.
"""
