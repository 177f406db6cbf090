"""The flight recorder: what the engine saw and decided, cycle by cycle, bounded on disk.

Here: records as JSON lines in segment files (recorder.py, reader.py) and the translation of
engine records to JSON and back (codec.py). Not here: what a record contains (the daemon) and
what is made of it (`hae explain`, `hae replay`).
"""

from shell.recorder.codec import DecodeError, decode, encode
from shell.recorder.reader import read_records
from shell.recorder.recorder import Recorder

__all__ = ["DecodeError", "Recorder", "decode", "encode", "read_records"]
