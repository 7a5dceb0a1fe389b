"""
Why a host decides as it does, and what would make it decide otherwise.

Each answer comes from `he_fsm.step.step` itself, which is asked again with one thing changed.
"""
