"""Tests of the fence with real processes: stand-ins for a postmaster, and PostgreSQL itself."""
