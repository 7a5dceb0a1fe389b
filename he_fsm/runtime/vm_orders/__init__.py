"""
Orders about the VM that people give by hand.

A command gives them to the broker (`asking`), which keeps them for the agent (`queue`), which
carries them out with the adapter that it has anyway (`by_hand`). So a VM that is started by hand
has the user, the limits and the lease of one that the agent starts, and nobody has to find out
which of two adapters looks after it.
"""
