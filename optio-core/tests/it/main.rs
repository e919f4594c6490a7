//! The contract suites of the ports, held against the stand-ins in memory.

mod memory_loop;
