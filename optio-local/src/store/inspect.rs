//! Looking at a database without opening it for work: which schema it has.

use std::path::Path;

use optio_core::Result;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{
    SqliteStore,
    open::{options, unfit, unusable},
    schema,
};

/// The schema of a database, and the one that this program works with. Zero is that of a database that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// What the database has.
    pub found: i64,
    /// What this program works with.
    pub wanted: i64,
}

impl SqliteStore {
    /// Which schema the database at `path` has. Changes nothing, and makes no file.
    ///
    /// # Errors
    /// `Denied`, `Invalid` or `Corrupt` if there is something else at `path`. The message says what to do.
    pub async fn schema_version(path: &Path) -> Result<SchemaVersion> {
        let wanted = schema::newest();
        if !path.exists() {
            return Ok(SchemaVersion { found: 0, wanted });
        }
        let shown = path.display().to_string();
        let options = options().filename(path).read_only(true);
        let connection = options.connect().await;
        let mut connection = connection.map_err(|error| unusable(&shown, &error))?;
        let found = schema::found(&mut connection).await;
        // a connection that cannot be closed in order is dropped
        let _ = connection.close().await;
        let found = found.map_err(|error| unfit(&shown, &error))?;
        Ok(SchemaVersion { found, wanted })
    }
}
