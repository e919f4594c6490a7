//! The folder with manifests of agents: `agents/*.toml` in the data folder, or the one that was set.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use optio_agents::command_agent::CommandAgent;
use optio_core::agent::Agent as _;

use super::{Layers, Setting, access::is_taken};

/// The folder, if none was set, in the data folder.
const FOLDER: &str = "agents";

/// Every agent that a manifest describes, by the names of the files. Each mistake is told with its file and its place.
pub(super) fn read(layers: &mut Layers, data: &Path) -> Vec<CommandAgent> {
    let set = layers.read(Setting::Agents, "an absolute path", |text| {
        Some(PathBuf::from(text)).filter(|path| path.is_absolute())
    });
    if set.is_none() && layers.get(Setting::Agents).is_some() {
        return Vec::new(); // that is a mistake of its own
    }
    let folder = match (&set, data.as_os_str().is_empty()) {
        (Some(folder), _) => folder.clone(),
        (None, false) => data.join(FOLDER),
        (None, true) => return Vec::new(),
    };
    let files = match manifests(&folder) {
        Ok(files) => files,
        Err(error) if set.is_none() && is_absent(&error) => Vec::new(),
        Err(error) => {
            let origin = layers.origin(Setting::Agents);
            let shown = folder.display();
            layers.mistakes.push(format!(
                "{origin}: the folder {shown} with manifests of agents cannot be read ({error}): make it, or check its permissions"
            ));
            Vec::new()
        }
    };
    let mut agents = Vec::new();
    for file in files {
        match manifest(&file, &agents) {
            Ok(agent) => agents.push(agent),
            Err(mistake) => layers
                .mistakes
                .push(format!("{}: {mistake}", file.display())),
        }
    }
    agents
}

/// Whether there is no such folder.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn manifests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension() == Some(OsStr::new("toml")));
    files.sort();
    Ok(files)
}

fn manifest(file: &Path, known: &[CommandAgent]) -> Result<CommandAgent, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("it cannot be read ({error}): check its permissions"))?;
    let agent = CommandAgent::parse(&text).map_err(|mistake| mistake.to_string())?;
    let name = agent.name();
    if is_taken(known, name) {
        return Err(format!(
            "name: there is already an agent called {name}: choose another name"
        ));
    }
    Ok(agent)
}
