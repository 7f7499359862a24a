//! greyhound bench: generators, sinks and reports over the production stages.
