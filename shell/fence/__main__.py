"""Start the guard: `python -I -S .../shell/fence/__main__.py <name> <data_dir> <state_file>`.

Run by its path, without the site module: the search path is set here so that the guard itself
is loaded from its compiled file.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rsplit("/", 3)[0])
    from shell.fence import guard

    guard.main(sys.argv[1:])
