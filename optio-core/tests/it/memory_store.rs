//! The store in memory.

use optio_core::memory::MemoryStore;

optio_core::store_conformance!(MemoryStore::new());

mod on_several_threads {
    use super::MemoryStore;

    optio_core::store_conformance!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        MemoryStore::new()
    );
}
