"""Real clusters: hae's daemons (or Patroni's) on real PostgreSQL and a real store."""
