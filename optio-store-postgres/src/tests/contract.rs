//! The contract of every store.

use optio_core::conformance::Subject;

use super::server::Database;

optio_core::store_conformance!({
    let database = Database::create().await;
    let store = database.store().await;
    Subject::store(store).keeping(database)
});
