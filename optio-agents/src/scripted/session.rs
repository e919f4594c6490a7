//! Sessions: what the agent remembers from run to run, in one small file each.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use optio_core::run::RunKind;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::args::Wanted;

/// A conversation over one or more runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    /// How many runs belong to it, with this one.
    pub(super) turns: u32,
    /// How many of each kind.
    kinds: BTreeMap<String, u32>,
}

#[derive(Debug, Error)]
pub(super) enum SessionError {
    #[error("no conversation found with session id {0}")]
    Unknown(String),
    #[error("session id {0} is already in use; go on with it by --resume, or begin another")]
    InUse(String),
    #[error("the file {path} of the session cannot be used: {source}")]
    File { path: PathBuf, source: io::Error },
}

impl Session {
    /// The session that is wanted, with this run in it; nothing is written yet.
    pub(super) fn open(home: &Path, wanted: Wanted, kind: RunKind) -> Result<Self, SessionError> {
        let fresh = |id| Self {
            id,
            turns: 0,
            kinds: BTreeMap::new(),
        };
        let mut session = match wanted {
            Wanted::New => fresh(Uuid::now_v7().to_string()),
            Wanted::NewAs(id) => {
                if file(home, &id).exists() {
                    return Err(SessionError::InUse(id));
                }
                fresh(id)
            }
            Wanted::Earlier(id) => {
                let path = file(home, &id);
                let text = match fs::read_to_string(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Err(SessionError::Unknown(id));
                    }
                    other => other,
                };
                text.and_then(|text| Ok(serde_json::from_str(&text)?))
                    .map_err(|source| SessionError::File { path, source })?
            }
        };
        session.turns += 1;
        *session.kinds.entry(kind.as_str().to_owned()).or_default() += 1;
        Ok(session)
    }

    /// How many runs of this kind belong to the session.
    pub(super) fn times(&self, kind: RunKind) -> u32 {
        self.kinds.get(kind.as_str()).copied().unwrap_or(0)
    }

    /// Remembers the session.
    pub(super) fn save(&self, home: &Path) -> Result<(), SessionError> {
        let path = file(home, &self.id);
        let write = || {
            fs::create_dir_all(home)?;
            replace(&path, &serde_json::to_vec(self)?)
        };
        write().map_err(|source| SessionError::File {
            path: path.clone(),
            source,
        })
    }
}

fn file(home: &Path, id: &str) -> PathBuf {
    home.join(format!("{id}.json"))
}

/// Writes a file such that a reader, and a killed writer, sees either the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let mut out = fs::File::create(&part)?;
    out.write_all(bytes)?;
    drop(out);
    fs::rename(&part, path)
}
