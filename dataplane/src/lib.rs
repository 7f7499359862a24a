//! The packet path: tables, stages and the engine that places them on cores.
