"""``python -m modelver``."""

from modelver.cli.main import main

main()
