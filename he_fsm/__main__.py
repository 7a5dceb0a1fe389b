"""`python -m he_fsm` is `he-fsm`."""

from __future__ import annotations

from he_fsm.cli.main import main

if __name__ == "__main__":
    main()
