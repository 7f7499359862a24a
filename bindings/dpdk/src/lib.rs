//! Safe, owning wrappers over DPDK: EAL, mempools, mbufs, ports, queues, core threads.
