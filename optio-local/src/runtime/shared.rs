//! Files that the runs of a workspace share, and what each was last made from.

use std::collections::BTreeMap;

use bytes::Bytes;
use optio_core::{Error, Result, workspace::WorkspacePath};
use sha2::{Digest, Sha256};

use super::{
    NAME,
    layout::{WorkspaceDir, failed, replace},
};

/// What `shared.json` holds: of each file a fingerprint of what was given for it. Not the content: it may be a login.
type Given = BTreeMap<WorkspacePath, String>;

/// Writes those that are not there, or for which something else is given than the last time. Whoever calls it holds the
/// workspace's lock.
pub(super) fn write(
    workspace: &WorkspaceDir,
    files: &BTreeMap<WorkspacePath, Bytes>,
) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let record = workspace.path.join("shared.json");
    // what cannot be read is written anew: a file too many is better than none
    let known: Given = std::fs::read(&record)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let mut given = known.clone();
    for (path, content) in files {
        let print = fingerprint(content);
        if known.get(path) != Some(&print) || !workspace.resolve(path).is_file() {
            let file = BTreeMap::from([(path.clone(), content.clone())]);
            workspace.write_files(&file)?;
            given.insert(path.clone(), print);
        }
    }
    if given == known {
        return Ok(());
    }
    let text = serde_json::to_vec(&given)
        .map_err(|error| Error::invalid(NAME, "cannot write shared.json").caused_by(error))?;
    replace(&record, &text).map_err(failed("write shared.json"))
}

fn fingerprint(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
