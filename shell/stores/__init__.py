"""Adapters to the distributed configuration stores, all behind the one interface in `base`."""
