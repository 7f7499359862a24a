//! Raw bindings to the parts of DPDK that Greyhound uses.
