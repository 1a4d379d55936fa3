"""`python -m tinytrain`: the same as the `tinytrain` command."""

from tinytrain.cli.main import main

main()
