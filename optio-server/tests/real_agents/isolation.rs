//! This process, and all that it starts, in a network of their own: nothing but themselves can be reached.

use std::{env, process::Command};

use nix::errno::Errno;

/// The hidden argument of a process that only finds out whether it can be isolated.
const PROBE: &str = "--probe-isolation";

/// Whether something else than this machine could be reached.
#[derive(Debug, Clone)]
pub(crate) enum Isolation {
    /// No.
    Alone,
    /// Yes, for this reason. Agents still know no address but that of the test.
    Refused(String),
}

/// Isolates this process, which must have no threads yet. A first try is made by another process, since half of an
/// isolation would be a network in which nothing works.
pub(crate) fn enter() -> Isolation {
    if env::args().nth(1).as_deref() == Some(PROBE) {
        match isolate() {
            Ok(()) => std::process::exit(0),
            Err(error) => {
                println!("{error}");
                std::process::exit(1);
            }
        }
    }
    let tried = env::current_exe().and_then(|own| Command::new(own).arg(PROBE).output());
    let refused = match tried {
        Ok(output) if output.status.success() => match isolate() {
            Ok(()) => return Isolation::Alone,
            Err(error) => error.to_string(),
        },
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Isolation::Refused(format!(
        "this system permits no network namespace: {refused}"
    ))
}

#[cfg(target_os = "linux")]
fn isolate() -> Result<(), Errno> {
    use nix::{
        sched::{CloneFlags, unshare},
        unistd::{Gid, Uid},
    };
    if Uid::effective().is_root() {
        unshare(CloneFlags::CLONE_NEWNET)?;
    } else {
        let (user, group) = (Uid::effective(), Gid::effective());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        let write = |file: &str, text: String| {
            let written = std::fs::write(format!("/proc/self/{file}"), text);
            written.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
        };
        write("setgroups", "deny".to_owned())?;
        write("uid_map", format!("{user} {user} 1"))?;
        write("gid_map", format!("{group} {group} 1"))?;
    }
    bring_up_loopback()
}

#[cfg(not(target_os = "linux"))]
fn isolate() -> Result<(), Errno> {
    Err(Errno::ENOTSUP)
}

/// Asks the kernel, in its own words, for what `ip link set lo up` does; `ip` is not installed everywhere.
#[cfg(target_os = "linux")]
fn bring_up_loopback() -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    };

    const NEW_LINK: u16 = 16;
    const REQUEST_WITH_ANSWER: u16 = 1 | 4;
    const LOOPBACK: i32 = 1;
    const UP: u32 = 1;

    let mut request = Vec::new();
    // its length and header
    request.extend(32_u32.to_ne_bytes());
    request.extend(NEW_LINK.to_ne_bytes());
    request.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
    request.extend([0; 8]);
    // which interface, its flags, and which of them are meant
    request.extend([0; 4]);
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    request.extend(UP.to_ne_bytes());

    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let to = NetlinkAddr::new(0, 0);
    sendto(kernel.as_raw_fd(), &request, &to, MsgFlags::empty())?;
    let mut answer = [0; 256];
    recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // behind the header: zero, or the error as a negative number
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error)),
    }
}
