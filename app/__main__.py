"""`python -m app` is `likeperson-sync`."""

from app.commands.cli import main

main()
