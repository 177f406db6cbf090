"""Tests, one folder for each layer; tests/support holds what several layers share."""
