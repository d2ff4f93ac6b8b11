"""``python -m modelver``."""

from modelver.cli.start import main

main()
