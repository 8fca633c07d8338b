"""`python -m app` is `likeperson-sync`."""

from app.cli import main

main()
