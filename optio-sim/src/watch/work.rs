//! The work of agents: files of paths that are written once, and whether each is still somewhere.

use std::collections::BTreeSet;

use optio_core::memory::FakeGit;

#[derive(Debug, Default)]
pub(crate) struct Work {
    /// What agents are about to write, as far as it was not seen yet.
    planned: BTreeSet<String>,
    /// What was written.
    made: BTreeSet<String>,
}

impl Work {
    pub(super) fn plan(&mut self, paths: impl IntoIterator<Item = String>) {
        self.planned.extend(paths);
    }

    /// Finds what was written since the last look.
    pub(super) fn take_stock(&mut self, git: &FakeGit) {
        let found = git.still_there(&self.planned);
        self.planned.retain(|path| !found.contains(path));
        self.made.extend(found);
    }

    /// What was written and is nowhere.
    pub(super) fn missing(&self, git: &FakeGit) -> Vec<String> {
        let found = git.still_there(&self.made);
        self.made.difference(&found).cloned().collect()
    }

    /// A disaster took files away: what is left counts.
    pub(super) fn write_off(&mut self, git: &FakeGit) {
        self.made = git.still_there(&self.made);
    }
}
