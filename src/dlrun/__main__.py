"""`python -m dlrun` is `dlrun`."""

from dlrun.cli import entry_point

if __name__ == "__main__":
    entry_point()
