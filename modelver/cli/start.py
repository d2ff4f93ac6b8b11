"""Where a process begins: Ctrl-C is heard from the first moment, in which the command line itself is still loading."""

import os
import sys


def main() -> None:
    """Load the command line and run it; ends the process with the status that fits."""
    try:
        from modelver.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.stderr.flush()
        os._exit(130)  # threads that import at this moment would write a traceback each
