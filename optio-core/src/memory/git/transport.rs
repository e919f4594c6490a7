//! What git does with remotes: asking, fetching and pushing.

use std::collections::BTreeMap;

use super::{
    Push, Remote,
    command::{Answer, Call, Refusal},
};
use crate::{pull_request::CommitId, repo::RepoUrl};

type Remotes = BTreeMap<String, Remote>;

fn reach<'r>(remotes: &'r mut Remotes, url: &str) -> Result<(String, &'r mut Remote), Refusal> {
    let identity = url.parse().map(|url: RepoUrl| url.identity().to_owned());
    let identity = identity.map_err(Refusal::fatal)?;
    match remotes.get_mut(&identity) {
        None => Err(Refusal::fatal(format_args!("repository '{url}' not found"))),
        Some(Remote {
            unreachable: Some(message),
            ..
        }) => Err(Refusal::fatal(message)),
        Some(remote) => Ok((identity, remote)),
    }
}

pub(super) fn ls_remote(remotes: &mut Remotes, url: &str, names: &[&str]) -> Answer {
    let (_, remote) = reach(remotes, url)?;
    let refs = remote.refs.iter();
    let refs = refs.filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
    Ok(refs
        .map(|(name, commit)| format!("{commit}\t{name}\n"))
        .collect())
}

/// Answers a fetch; none to a refspec that it does not know.
pub(super) fn fetch(
    remotes: &mut Remotes,
    call: &mut Call<'_>,
    url: &str,
    specs: &[&str],
) -> Option<Answer> {
    let remote = match reach(remotes, url) {
        Ok((_, remote)) => remote,
        Err(refusal) => return Some(Err(refusal)),
    };
    let dir = match call.git_dir() {
        Ok(dir) => dir,
        Err(refusal) => return Some(Err(refusal)),
    };
    for spec in specs {
        let Some((from, to)) = spec.trim_start_matches('+').split_once(':') else {
            if call.objects.get(&CommitId::new(spec)).is_some() {
                continue; // all objects are everywhere
            }
            return Some(Err(Refusal::fatal(format_args!(
                "remote error: not our ref {spec}"
            ))));
        };
        match (from.strip_suffix('*'), to.strip_suffix('*')) {
            (Some(from), Some(to)) => {
                for (name, commit) in &remote.refs {
                    if let Some(rest) = name.strip_prefix(from) {
                        dir.set(call.disk, &format!("{to}{rest}"), commit);
                    }
                }
            }
            (None, None) => match remote.refs.get(from) {
                Some(commit) => dir.set(call.disk, to, commit),
                None => {
                    return Some(Err(Refusal::fatal(format_args!(
                        "couldn't find remote ref {from}"
                    ))));
                }
            },
            _ => return None,
        }
    }
    Some(Ok(String::new()))
}

/// What is to be pushed.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) url: &'a str,
    /// What, and to which ref.
    pub(super) spec: &'a str,
    /// Where the ref has to be, as `name:commit`; nowhere if the commit is empty.
    pub(super) lease: Option<&'a str>,
}

/// Answers a push of one ref.
pub(super) fn push(
    remotes: &mut Remotes,
    call: &mut Call<'_>,
    order: &Order<'_>,
    pushes: &mut Vec<Push>,
) -> Option<Answer> {
    let Order { url, spec, lease } = *order;
    let (from, to) = spec.trim_start_matches('+').split_once(':')?;
    let (repo, remote) = match reach(remotes, url) {
        Ok(reached) => reached,
        Err(refusal) => return Some(Err(refusal)),
    };
    let commit = match call.resolve(from) {
        Ok(commit) => commit,
        Err(refusal) => return Some(Err(refusal)),
    };
    let before = remote.refs.get(to).cloned();
    let report =
        |flag: &str, summary: &str| format!("To {url}\n{flag}\t{from}:{to}\t{summary}\nDone\n");
    if before.as_ref() == Some(&commit) {
        return Some(Ok(report("=", "[up to date]")));
    }
    if let Some(lease) = lease {
        let (name, expected) = lease.split_once(':')?;
        if name == to && before.as_ref().map_or("", CommitId::as_str) != expected {
            let stderr = format!("error: failed to push some refs to '{url}'\n");
            return Some(Err(Refusal::reported(
                report("!", "[rejected] (stale info)"),
                stderr,
            )));
        }
    }
    if let Some(reason) = &remote.declines {
        let stderr = format!("remote: {reason}\nerror: failed to push some refs to '{url}'\n");
        let summary = format!("[remote rejected] ({reason})");
        return Some(Err(Refusal::reported(report("!", &summary), stderr)));
    }
    remote.refs.insert(to.to_owned(), commit.clone());
    pushes.push(Push {
        repo,
        name: to.to_owned(),
        to: Some(commit),
    });
    Some(Ok(report(
        if before.is_some() { "+" } else { "*" },
        "[new]",
    )))
}
