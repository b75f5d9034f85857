"""`python -m monitor.cli` is `attendant`."""

from monitor.cli import main

if __name__ == "__main__":
    main()
