//! The contract of every store, on disk and in memory.

mod on_disk {
    use optio_core::conformance::Subject;
    use optio_local::SqliteStore;

    optio_core::store_conformance!({
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("optio.db"))
            .await
            .unwrap();
        Subject::store(store).keeping(folder)
    });
}

mod in_memory {
    use optio_local::SqliteStore;

    optio_core::store_conformance!(SqliteStore::in_memory().await.unwrap());
}
