//! Short commands: run, waited for, and gone with everything they started in their group when they end.

use std::{
    fmt, io::ErrorKind as IoErrorKind, os::unix::process::ExitStatusExt, process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use optio_core::{
    Error, Result,
    failure::ExitStatus,
    runtime::{Command, ExecOptions, ExecOutput},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::ChildStdin,
    time::timeout,
};

use super::{
    NAME,
    ending::{end_all, end_all_soon},
    processes::Marker,
};

/// How long the output of a command that has ended is waited for, should something else still hold it open.
const DRAIN: Duration = Duration::from_millis(250);

/// The same when all who could hold it were ended: it is there, and only has to be read.
const LAST_DRAIN: Duration = Duration::from_secs(5);

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// A command that is made ready: environment and folder set.
pub(super) struct Prepared {
    pub(super) process: tokio::process::Command,
    pub(super) marker: Marker,
    pub(super) stdin: Bytes,
}

/// Kills a command's group, and searches for what has left it, unless it was disarmed.
struct Guard {
    group: Option<Pid>,
    marker: Marker,
}

impl Guard {
    /// Kills the process group.
    fn strike(&self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL); // fails if none is left
        }
    }

    fn disarm(&mut self) {
        self.group = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.group.is_some() {
            self.strike();
            end_all_soon(self.marker.clone());
        }
    }
}

/// Keeps the last bytes of a stream, in bounded memory.
struct Tail {
    kept: Vec<u8>,
    limit: usize,
}

impl Tail {
    fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            limit,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        // cut now and then, not each time: moving the rest to the front costs
        if self.kept.len() > self.limit.saturating_mul(2).saturating_add(CHUNK) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.kept.len().saturating_sub(self.limit);
        self.kept.drain(..surplus);
    }

    fn into_bytes(mut self) -> Bytes {
        self.cut();
        self.kept.into()
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>, tail: &mut Tail) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        tail.push(&chunk[..count]);
    }
}

async fn write_all(stdin: Option<ChildStdin>, content: &[u8]) {
    if let Some(mut stdin) = stdin {
        // a command may end without having read it all
        let _ = stdin.write_all(content).await;
        let _ = stdin.shutdown().await;
    }
}

fn status(status: std::process::ExitStatus) -> ExitStatus {
    status.code().map_or_else(
        || ExitStatus::Signal(status.signal().unwrap_or_default()),
        ExitStatus::Code,
    )
}

/// What a shell says of a command that it cannot start.
fn not_started(program: &str, code: i32, error: impl fmt::Display) -> ExecOutput {
    ExecOutput {
        status: ExitStatus::Code(code),
        stdout: Bytes::new(),
        stderr: format!("{program}: {error}\n").into(),
    }
}

/// Runs it; see [`optio_core::runtime::Runtime::exec`].
pub(super) async fn run(
    prepared: Prepared,
    command: &Command,
    options: ExecOptions,
) -> Result<ExecOutput> {
    let Prepared {
        mut process,
        marker,
        stdin,
    } = prepared;
    process
        .stdin(if stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == IoErrorKind::NotFound => {
            return Ok(not_started(&command.program, 127, "not found"));
        }
        Err(error) if error.kind() == IoErrorKind::PermissionDenied => {
            return Ok(not_started(&command.program, 126, "permission denied"));
        }
        Err(error) => {
            return Err(super::layout::failed(format_args!(
                "start {}",
                command.program
            ))(error));
        }
    };
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    let mut guard = Guard {
        group: group.map(Pid::from_raw),
        marker,
    };
    let (mut out, mut err) = (
        Tail::new(options.output_limit),
        Tail::new(options.output_limit),
    );
    let (stdin_pipe, stdout, stderr) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let mut reading = std::pin::pin!(async {
            tokio::join!(read_all(stdout, &mut out), read_all(stderr, &mut err))
        });
        let mut writing = std::pin::pin!(write_all(stdin_pipe, &stdin));
        let (mut read, mut wrote) = (false, false);
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break ended,
                _ = &mut reading, if !read => read = true,
                () = &mut writing, if !wrote => wrote = true,
            }
        };
        // what it left behind in its group ends with it
        guard.strike();
        if !read && timeout(DRAIN, &mut reading).await.is_err() {
            // somebody outside of the group still holds its output open
            end_all(&guard.marker, group).await?;
            let _ = timeout(LAST_DRAIN, &mut reading).await;
        }
        ended.map_err(super::layout::failed(format_args!(
            "wait for {}",
            command.program
        )))
    };
    let ended = timeout(options.timeout, work).await;
    if let Ok(ended) = ended {
        let status = status(ended?);
        guard.disarm();
        return Ok(ExecOutput {
            status,
            stdout: out.into_bytes(),
            stderr: err.into_bytes(),
        });
    }
    guard.strike();
    end_all(&guard.marker, group).await?;
    guard.disarm();
    Err(Error::timed_out(
        NAME,
        format!(
            "{} took longer than {} s",
            command.program,
            options.timeout.as_secs_f32()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_last_bytes_in_bounded_memory() {
        let mut tail = Tail::new(10);
        for _ in 0..100 {
            tail.push(&[b'x'; CHUNK]);
            assert!(tail.kept.len() <= 2 * CHUNK);
        }
        tail.push(b"the end");
        assert_eq!(tail.into_bytes(), "xxxthe end");

        let mut nothing = Tail::new(0);
        nothing.push(b"a");
        assert_eq!(nothing.into_bytes(), "");
    }
}
