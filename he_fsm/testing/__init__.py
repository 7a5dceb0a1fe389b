"""
What other people's tests can use: contract suites for back ends, and strategies for properties.

    hypervisors   what every hypervisor promises, and what a test has to say about its own one
    leases        what every lease manager promises
    scenes        one moment of one host, said plainly
    strategies    policies, whiteboards, snapshots and memories at random
    waiting       wait for what other processes do

It needs pytest, and `strategies` needs hypothesis: the extra `test`. Nothing else in he_fsm imports
it.
"""
