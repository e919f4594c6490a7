//! The bus in memory.

use optio_core::memory::MemoryBus;

optio_core::event_bus_conformance!(MemoryBus::new());
