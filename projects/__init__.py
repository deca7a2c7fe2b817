"""Artist classification: one module an entry point."""

import sys

if sys.platform == "win32":
    sys.exit("error: Windows is not supported; this project runs on Linux and macOS. Under Windows use WSL or Docker.")
