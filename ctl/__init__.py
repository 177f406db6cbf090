"""The operator's command line: formats what the daemons know and submits requests."""
