"""
The decisions of this host, kept in its state folder: a ring of files of a bounded size.

What stands in the files is `he_fsm.history`.
"""
