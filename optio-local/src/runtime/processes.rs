//! Which processes belong together, as the machine tells it: found by a marker in their environment, not by their group.
//!
//! Agents put the tools that they run into sessions of their own, so neither a process group nor a session holds a run
//! together. What every process inherits, unless it takes care not to, is its environment.

use std::fmt;

use nix::{
    errno::Errno,
    sys::signal::{self, Signal},
    unistd::Pid,
};
use optio_core::id::{RunId, WorkspaceId};

/// A variable that all processes of one kind carry in their environment, and nothing else does.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Marker {
    name: &'static str,
    value: String,
}

impl Marker {
    /// Carried by everything that runs in a workspace.
    pub(super) fn workspace(id: WorkspaceId) -> Self {
        Self {
            name: "OPTIO_WORKSPACE",
            value: id.to_string(),
        }
    }

    /// Carried by all processes of a run.
    pub(super) fn run(id: RunId) -> Self {
        Self {
            name: "OPTIO_RUN",
            value: id.to_string(),
        }
    }

    /// Carried by all processes of a short command.
    pub(super) fn exec(token: u128) -> Self {
        Self {
            name: "OPTIO_EXEC",
            value: format!("{token:032x}"),
        }
    }

    /// The variable's name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The variable's value.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    #[cfg(target_os = "linux")]
    fn stands_in(&self, environ: &[u8]) -> bool {
        environ.split(|&byte| byte == 0).any(|variable| {
            variable
                .strip_prefix(self.name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
                == Some(self.value.as_bytes())
        })
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// A living process; on systems without `/proc` a whole process group, with a negative id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id, as we see it.
    pub(super) pid: i32,
    /// Its parent's.
    pub(super) parent: i32,
    /// Whether it lives in a PID namespace other than ours.
    pub(super) contained: bool,
    /// When it started, in ticks since the machine did: tells it from a later process with the same id.
    started: u64,
}

impl Process {
    /// Sends it a signal, unless it has ended meanwhile.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.is_same() {
            return;
        }
        match signal::kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::warn!(pid = self.pid, %signal, %error, "a process could not be signalled");
            }
        }
    }
}

/// The processes of a marker.
#[derive(Debug, Clone, Default)]
pub(super) struct Family {
    /// Those that live.
    pub(super) alive: Vec<Process>,
    /// The processor time, in milliseconds, that they and their ended children have used so far.
    pub(super) activity: Option<u64>,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::{HashMap, HashSet},
        fs,
        os::unix::fs::MetadataExt,
        path::PathBuf,
    };

    use super::{Family, Marker, Process};

    /// Linux counts processor time for user space in hundredths of a second, on every architecture.
    const MILLIS_PER_TICK: u64 = 10;

    /// The flag of a thread of the kernel, which never has an environment.
    const OF_KERNEL: u64 = 0x0020_0000;

    /// How often at most the processes are listed. One more pass is needed only if one was started since the last.
    const PASSES: usize = 100;

    /// A line of the process table.
    struct Entry {
        pid: i32,
        parent: i32,
        session: i32,
        started: u64,
        ticks: u64,
        dead: bool,
        kernel: bool,
    }

    fn file(pid: i32, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{pid}/{name}"))
    }

    fn entry(pid: i32) -> Option<Entry> {
        let stat = fs::read(file(pid, "stat")).ok()?;
        // the name in parentheses may hold anything, so what follows is counted from the last one
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let stat = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let fields: Vec<&str> = stat.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok(); // numbered as in proc(5)
        Some(Entry {
            pid,
            parent: i32::try_from(number(4)?).ok()?,
            session: i32::try_from(number(6)?).ok()?,
            started: number(22)?,
            ticks: number(14)? + number(15)? + number(16)? + number(17)?,
            kernel: number(9)? & OF_KERNEL != 0,
            dead: matches!(fields.first(), Some(&("Z" | "X"))),
        })
    }

    /// The ids of all processes.
    fn listed() -> HashSet<i32> {
        let Ok(folders) = fs::read_dir("/proc") else {
            return HashSet::new();
        };
        folders
            .flatten()
            .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// The process table, and which of its processes carry the marker.
    ///
    /// A process may start another and end between being listed and being looked at. So it is listed again until
    /// nobody new is there: then everybody who lives was looked at, however fast they beget each other.
    fn survey(marker: &Marker) -> (Vec<Entry>, HashSet<i32>) {
        let (mut table, mut marked) = (HashMap::new(), HashSet::new());
        let mut seen = HashSet::new();
        let mut blank: HashSet<i32> = HashSet::new();
        for _ in 0..PASSES {
            let listed = listed();
            let fresh: Vec<i32> = listed.difference(&seen).copied().collect();
            for &pid in fresh.iter().chain(&std::mem::take(&mut blank)) {
                seen.insert(pid);
                let Some(entry) = entry(pid) else { continue };
                let environ = fs::read(file(pid, "environ")).unwrap_or_default();
                if marker.stands_in(&environ) {
                    marked.insert(pid);
                } else if environ.is_empty() && !entry.dead && !entry.kernel {
                    blank.insert(pid); // perhaps just becoming another program
                }
                table.insert(pid, entry);
            }
            if fresh.is_empty() {
                table.retain(|pid, _| listed.contains(pid));
                break;
            }
        }
        marked.retain(|pid| table.get(pid).is_some_and(|entry| !entry.dead));
        (table.into_values().collect(), marked)
    }

    fn namespace(pid: i32) -> Option<u64> {
        fs::metadata(file(pid, "ns/pid"))
            .ok()
            .map(|meta| meta.ino())
    }

    fn is_marked(pid: i32, marker: &Marker) -> bool {
        fs::read(file(pid, "environ")).is_ok_and(|environ| marker.stands_in(&environ))
    }

    /// Ourselves and everything above us: never part of a family, whatever their environment says.
    fn untouchable(table: &[Entry]) -> HashSet<i32> {
        let mut line = HashSet::from([0, 1]);
        let mut pid = i32::try_from(std::process::id()).unwrap_or(1);
        while line.insert(pid) {
            pid = table
                .iter()
                .find(|entry| entry.pid == pid)
                .map_or(1, |entry| entry.parent);
        }
        line
    }

    impl Process {
        /// Whether the process of this id is still the one that was seen.
        pub(super) fn is_same(&self) -> bool {
            entry(self.pid).is_some_and(|entry| entry.started == self.started)
        }
    }

    impl Family {
        /// Looks for the processes with this marker, and takes in those that dropped it but descend from one that has
        /// it, stand in a session led by one, or live in a PID namespace that one has entered.
        ///
        /// `leader` is used only where there is no process table to look in.
        pub(in super::super) fn find(marker: &Marker, _leader: Option<i32>) -> Self {
            let (table, mut members) = survey(marker);
            let untouchable = untouchable(&table);
            let own = namespace(i32::try_from(std::process::id()).unwrap_or(0));
            members.retain(|pid| !untouchable.contains(pid));
            let namespaces: HashSet<u64> = members
                .iter()
                .filter_map(|&pid| namespace(pid))
                .filter(|&inode| Some(inode) != own)
                .collect();
            let contained = |pid| namespace(pid).is_some_and(|inode| namespaces.contains(&inode));
            loop {
                let found: Vec<i32> = table
                    .iter()
                    .filter(|entry| !members.is_empty() && !members.contains(&entry.pid))
                    .filter(|entry| !untouchable.contains(&entry.pid))
                    .filter(|entry| {
                        members.contains(&entry.parent)
                            || members.contains(&entry.session)
                            || (!namespaces.is_empty() && contained(entry.pid))
                    })
                    .map(|entry| entry.pid)
                    .collect();
                if found.is_empty() {
                    break;
                }
                members.extend(found);
            }
            let (mut alive, mut ticks) = (Vec::new(), 0);
            for entry in table.iter().filter(|entry| members.contains(&entry.pid)) {
                ticks += entry.ticks;
                if !entry.dead {
                    alive.push(Process {
                        pid: entry.pid,
                        parent: entry.parent,
                        contained: contained(entry.pid),
                        started: entry.started,
                    });
                }
            }
            Self {
                alive,
                activity: Some(ticks * MILLIS_PER_TICK),
            }
        }

        /// Whether any is alive. Quick if the leader is.
        pub(in super::super) fn lives(marker: &Marker, leader: Option<i32>) -> bool {
            let led = leader.is_some_and(|pid| {
                is_marked(pid, marker) && entry(pid).is_some_and(|entry| !entry.dead)
            });
            led || !Self::find(marker, leader).alive.is_empty()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use nix::{sys::signal, unistd::Pid};

    use super::{Family, Marker, Process};

    impl Process {
        pub(super) fn is_same(&self) -> bool {
            true
        }
    }

    impl Family {
        /// Without a process table to search, a family is the process group of its leader.
        pub(in super::super) fn find(_marker: &Marker, leader: Option<i32>) -> Self {
            let group = leader.filter(|&pid| pid > 1).map(|pid| Process {
                pid: -pid,
                parent: 0,
                contained: false,
                started: 0,
            });
            Self {
                alive: group
                    .filter(|group| signal::kill(Pid::from_raw(group.pid), None).is_ok())
                    .into_iter()
                    .collect(),
                activity: None,
            }
        }

        /// Whether any is alive.
        pub(in super::super) fn lives(marker: &Marker, leader: Option<i32>) -> bool {
            !Self::find(marker, leader).alive.is_empty()
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_whole_variable() {
        let marker = Marker {
            name: "OPTIO_RUN",
            value: "run_1".into(),
        };
        assert!(marker.stands_in(b"A=1\0OPTIO_RUN=run_1\0B=2\0"));
        for other in [
            b"OPTIO_RUN=run_12\0".as_slice(),
            b"XOPTIO_RUN=run_1\0",
            b"A=OPTIO_RUN=run_1\0",
            b"",
        ] {
            assert!(!marker.stands_in(other), "{other:?}");
        }
    }
}
