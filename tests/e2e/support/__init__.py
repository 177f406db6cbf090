"""The harness that runs real clusters, for the end-to-end tests and the benchmark."""
