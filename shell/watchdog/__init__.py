"""The watchdog device: the kernel's interface, and nothing of when it is used."""
