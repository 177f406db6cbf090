"""The demo: three nodes on this machine, a failover, a return, a switchover, and a count of rows.

It uses hae as a user would: node files, `hae-daemon`, `hae ctl` and `hae explain`.
"""
