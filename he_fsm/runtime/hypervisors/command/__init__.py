"""The hypervisor whose engine is a program: one instance of it in the cluster, under the lease."""
