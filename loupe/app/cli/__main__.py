"""`python -m loupe.app.cli` is `loupe`."""

from loupe.app.cli.main import main

if __name__ == "__main__":
    main()
