"""Clusters with members of hae and of Patroni: `make mixed`, by hand, because it needs Patroni."""
