//! How a run's processes are held together: a PID namespace of its own where that is permitted, else a marker.
//!
//! What leads every run is a supervisor: a few lines of shell, the same for all, with program and arguments handed over
//! as positional parameters. It claims the run by creating `started` (only one supervisor ever can), runs the command
//! and writes the exit code down when it ends.
//!
//! In a namespace the command runs below a second such shell, which is the namespace's first process: the system would
//! keep default signals from a first process, and when it ends it takes every other process of the namespace with it.
//! So `exit` is written only when none is left.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::run_dir::Contained;

/// The shell that supervises. Every system with processes like ours has it there.
pub(super) const SHELL: &str = "/bin/sh";

/// Claims the run whose folder is `$1`, runs the rest as a command, writes its exit code down.
///
/// The handlers keep the shell alive when its whole group is signalled; what it runs gets the defaults back. Its own
/// error output is put away, as some shells remark on how a command died; the command's is untouched. If there is a
/// namespace, what its first process wrote is believed: without a code, it was killed.
///
/// If there is a `pipe`, the command's input stays open: a second shell copies what is in `stdin`, and what comes to be in
/// it, into the pipe, until it finds that the input was ended. It sleeps until somebody rings the `bell`. When the command
/// has ended it is told so in the same way, and not by a signal: its process id may be another's by then.
const SUPERVISE: &str = r#"
run=$1
shift
trap : HUP INT QUIT TERM
set -C
{ echo "$$" >"$run/started"; } 2>/dev/null || exit 0
set +C
exec 3>&2 2>/dev/null
feed() {
    exec 4<>"$run/bell"
    at=0
    while :; do
        end=
        [ -e "$run/input.end" ] && end=1
        size=$(wc -c <"$run/stdin")
        if [ "$size" -gt "$at" ]; then
            tail -c "+$((at + 1))" "$run/stdin" | head -c "$((size - at))" || exit
            at=$((size))
        elif [ "$end" ]; then
            exit
        else
            read -r _ <&4
        fi
    done
}
if [ -p "$run/pipe" ]; then
    feed >"$run/pipe" 3>&- &
    (exec "$@" <"$run/pipe" 2>&3 3>&-)
    code=$?
    : >"$run/input.end"
    : <>"$run/pipe"
    echo 1<>"$run/bell"
else
    (exec "$@" 2>&3 3>&-)
    code=$?
fi
if [ -e "$run/code" ]; then
    read -r code <"$run/code" || code=137
fi
echo "$code" >"$run/exit"
"#;

/// Runs a command as the first process of a namespace, for the run whose folder is `$1`, and writes its exit code down.
const LEAD_NAMESPACE: &str = r#"
run=$1
shift
trap : HUP INT QUIT TERM
: >"$run/code"
exec 3>&2 2>/dev/null
(exec "$@" 2>&3 3>&-)
echo "$?" >"$run/code"
"#;

/// Which way of holding a run's processes together to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Containment {
    /// A PID namespace if this machine lets us make one, else the marker.
    ///
    /// Without root that needs a user namespace too: setuid programs such as `sudo` do not work in it, and files of
    /// other users show as nobody's. Where agents need those, choose [`Marker`](Self::Marker).
    #[default]
    Auto,
    /// A variable in the environment of every process. It is found again as long as a process, its ancestors or the
    /// leader of its session keep it; a process that clears its environment and leaves all of them escapes. On systems
    /// without `/proc` only the run's process group is known.
    Marker,
}

/// The way that was found to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    /// With this program and these arguments before the command.
    Namespace {
        unshare: PathBuf,
        args: Vec<&'static str>,
    },
    /// By marker only.
    Marker,
}

/// As root, and as anybody else.
const NAMESPACES: [&[&str]; 2] = [&[], &["--user", "--map-current-user"]];

/// The whole namespace must end with its parent, see its own `/proc`, and see what is mounted later.
const NAMESPACE: [&str; 6] = [
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "slave",
];

/// The longest that finding out may take.
const PROBE_TIME: Duration = Duration::from_secs(5);

impl Method {
    /// Finds the best way that works here, by trying.
    pub(super) async fn probe(wanted: Containment) -> Self {
        if wanted == Containment::Marker || !cfg!(target_os = "linux") {
            return Self::Marker;
        }
        let unshare = ["/usr/bin/unshare", "/bin/unshare", "/usr/sbin/unshare"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.is_file());
        let Some(unshare) = unshare else {
            tracing::info!(
                "the program unshare is not installed: runs are held together by a marker"
            );
            return Self::Marker;
        };
        for extra in NAMESPACES {
            let args: Vec<&'static str> = extra.iter().copied().chain(NAMESPACE).collect();
            if works(&unshare, &args).await {
                return Self::Namespace { unshare, args };
            }
        }
        tracing::info!("PID namespaces are not permitted here: runs are held together by a marker");
        Self::Marker
    }

    /// What runs recorded about themselves is said in these words.
    pub(super) fn contained(&self) -> Contained {
        match self {
            Self::Namespace { .. } => Contained::Namespace,
            Self::Marker => Contained::Marker,
        }
    }

    /// The arguments for [`SHELL`] that run this command supervised, for the run of this folder.
    pub(super) fn supervised(&self, run: &Path, program: &str, args: &[String]) -> Vec<OsString> {
        let mut line: Vec<OsString> = ["-c", SUPERVISE, "optio-run"].map(Into::into).into();
        line.push(run.into());
        if let Self::Namespace { unshare, args } = self {
            line.push(unshare.into());
            line.extend(args.iter().map(Into::into));
            line.extend(["--", SHELL, "-c", LEAD_NAMESPACE, "optio-init"].map(Into::into));
            line.push(run.into());
        }
        line.push(program.into());
        line.extend(args.iter().map(Into::into));
        line
    }
}

/// Whether a process can be the first of a namespace and read its `/proc`.
async fn works(unshare: &Path, args: &[&str]) -> bool {
    let tried = tokio::process::Command::new(unshare)
        .args(args)
        .args([
            "--",
            SHELL,
            "-c",
            r#"test "$$" = 1 && test -r /proc/1/environ"#,
        ])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    matches!(tokio::time::timeout(PROBE_TIME, tried).await, Ok(Ok(status)) if status.success())
}
