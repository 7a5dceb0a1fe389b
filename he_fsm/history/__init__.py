"""
What a host has decided and from what, in a form that is kept, read again, and asked again.

Pure: bytes and values. Who keeps them in files is `he_fsm.runtime.history`.
"""
