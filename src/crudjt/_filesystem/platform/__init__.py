"""The operating system: Linux, macOS and Windows behind one interface, chosen once.

Nothing else in the package asks which system it runs on in order to use a file.
"""

import sys

from crudjt._filesystem.platform.interface import System

if sys.platform == "win32":
    from crudjt._filesystem.platform.windows import Windows as _ThisSystem
elif sys.platform == "darwin":
    from crudjt._filesystem.platform.macos import MacOS as _ThisSystem
else:
    from crudjt._filesystem.platform.linux import Linux as _ThisSystem

system: System = _ThisSystem()

__all__ = ["System", "system"]
