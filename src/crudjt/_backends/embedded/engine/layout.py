"""Names in the directory of a store, apart from the engine: the shell command needs them on any system."""

STORE_LOCK_FILE = "lock"
CONTROL_FILE = "control"
VIEW_DIRECTORY = "view"
BASE_DIRECTORY = "base"
WRITER_LOCK_FILE = "writer"
