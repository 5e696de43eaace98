"""Imports a server's module, and runs it once a line comes on standard input.

    python -m inference.held MODULE ARGUMENT...

Imports are a large part of a server's start, and need no GPU. A server that must wait until another
one has left the GPU has them done by then. If standard input ends without a line, it ends too.
"""

from __future__ import annotations

import importlib
import runpy
import sys

IMPORTED = "the server's libraries are imported"


def main() -> None:
    del sys.argv[0]
    name = sys.argv[0]
    importlib.import_module(name)
    print(IMPORTED, flush=True)
    if sys.stdin.readline():
        del sys.modules[name]  # it is run as __main__ instead
        runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
