"""``python -m parlance``: the same as the ``parlance`` program."""

from parlance.cli.main import main

main()
