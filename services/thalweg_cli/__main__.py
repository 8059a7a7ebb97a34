"""`python -m thalweg_cli`: the same as `thalweg`."""

from thalweg_cli.main import main

main()
