"""Configuration: what a person wrote, checked, merged and turned into one typed record.

Here belong reading, checking and merging of the node file, the environment and the dynamic
configuration of the store.  Nothing here may talk to PostgreSQL or to a store, or act on a value.
The way through the package: loading + environment -> checking (against the schema tables)
-> `LocalConfig`; dynamic + effective -> `Settings`.
"""

from shell.config.dynamic import check_dynamic, clamp_timing, merge_patch
from shell.config.effective import effective
from shell.config.local import LocalConfig, load_local, needs_daemon_restart
from shell.config.problems import ConfigError, Problem
from shell.config.settings import Settings
from shell.config.unbuilt import unbuilt_problems
from shell.config.validate import render_effective, validate_file

__all__ = [
    "ConfigError",
    "LocalConfig",
    "Problem",
    "Settings",
    "check_dynamic",
    "clamp_timing",
    "effective",
    "load_local",
    "merge_patch",
    "needs_daemon_restart",
    "render_effective",
    "unbuilt_problems",
    "validate_file",
]
