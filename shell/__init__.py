"""The thin shell: observes the world for the engine and carries out what the engine decided."""
