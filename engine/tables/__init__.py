"""The rules.  One module per table, or per few small tables; decide.py gives their order."""
