//! Packet formats: views and builders for the headers that Greyhound reads and writes.
