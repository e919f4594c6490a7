//! The verdict that fits most agents, and the folders of a run.

use insta::assert_snapshot;

use super::*;
use crate::{
    conformance::sample::{at, run_id, task_id},
    failure::{FailureClass, ReportedError},
    transcript::Failed,
};

fn said(failed: Failed) -> RunReport {
    RunReport {
        result: Some((
            failed,
            "I have fixed the rate limit of the billing page".to_owned(),
        )),
        ..RunReport::default()
    }
}

fn verdict(status: Option<ExitStatus>, report: &RunReport, stderr: &str) -> AgentVerdict {
    let ending = Ending {
        status,
        report,
        stderr,
        resumed: None,
    };
    ending.usual_verdict(at(0))
}

fn class(verdict: &AgentVerdict) -> Option<FailureClass> {
    match verdict {
        AgentVerdict::Finished { .. } => None,
        AgentVerdict::Failed(failure) => Some(failure.class),
    }
}

#[test]
fn success_needs_a_good_exit_and_a_good_closing_word() {
    let ok = Some(ExitStatus::Code(0));
    let finished = verdict(ok, &said(Failed::No), "a warning on stderr");
    assert!(
        matches!(&finished, AgentVerdict::Finished { summary } if summary.starts_with("I have fixed"))
    );
    for (status, report) in [
        (ok, said(Failed::Yes)),
        (ok, RunReport::default()),
        (Some(ExitStatus::Code(1)), said(Failed::No)),
        (Some(ExitStatus::Signal(9)), said(Failed::No)),
        (None, said(Failed::No)),
    ] {
        assert!(
            class(&verdict(status, &report, "")).is_some(),
            "{status:?} {report:?}"
        );
    }
}

#[test]
fn a_failure_is_told_from_structure_and_stderr_and_never_from_prose() {
    let failed = Some(ExitStatus::Code(1));
    let reported = RunReport {
        error: Some(ReportedError {
            http_status: Some(429),
            ..ReportedError::message("slow down")
        }),
        ..said(Failed::Yes)
    };
    assert_eq!(
        class(&verdict(failed, &reported, "")),
        Some(FailureClass::RateLimited)
    );
    assert_eq!(
        class(&verdict(
            failed,
            &RunReport::default(),
            "No space left on device"
        )),
        Some(FailureClass::DiskFull)
    );
    // its summary speaks of a rate limit and of billing: that is what the task was about
    let prose = class(&verdict(failed, &said(Failed::No), ""));
    assert!(
        !matches!(
            prose,
            Some(FailureClass::RateLimited | FailureClass::QuotaExhausted)
        ),
        "{prose:?}"
    );
}

#[test]
fn a_spec_shows_each_folder_as_we_and_as_the_agent_see_it() {
    let root = WorkspacePath::root();
    let places = Places {
        root: "/home/ws 1".to_owned(),
        worktree: root.child("worktrees").child("t"),
        files: root.child("files").child("r"),
    };
    let spec = RunSpec::new(
        task_id(1),
        run_id(1),
        RunKind::First,
        "Do it".to_owned(),
        places,
    );
    assert_eq!(spec.worktree_dir, "/home/ws 1/worktrees/t");
    assert_eq!(spec.files_dir, "/home/ws 1/files/r");
    assert_eq!(spec.task_file, "/home/ws 1/files/r/task.md");
    assert_eq!(spec.verdict_file, "/home/ws 1/files/r/verdict.json");
    assert!(
        !spec.task_file.starts_with(&spec.worktree_dir),
        "nothing of ours lies in the tree"
    );
}

#[test]
fn a_version_that_was_not_tested_is_told_and_no_more() {
    let preflight =
        Preflight::new(Command::new("agent"), "install it").tested(["2.1.197", "2.1.329"]);
    let rows = [
        "2.1.197 (Claude Code)",
        "agent-cli 2.1.329",
        "agent/v2.1.200-beta.1 linux-x64",
        "The Agent 2.1.330.",
        "2.1.99",
        "3.0",
        "development build",
        "",
    ];
    let table = rows.map(|printed| {
        format!(
            "{printed}: {}",
            preflight.doubt(printed).unwrap_or("fine".to_owned())
        )
    });
    assert_snapshot!(table.join("\n"), @r#"
    2.1.197 (Claude Code): fine
    agent-cli 2.1.329: fine
    agent/v2.1.200-beta.1 linux-x64: fine
    The Agent 2.1.330.: newer than what was tested, which is 2.1.197 to 2.1.329
    2.1.99: older than what was tested, which is 2.1.197 to 2.1.329
    3.0: newer than what was tested, which is 2.1.197 to 2.1.329
    development build: fine
    : fine
    "#);
    let named = rows.map(|printed| Preflight::version_in(printed).unwrap_or("-".to_owned()));
    assert_snapshot!(named.join(", "), @"2.1.197, 2.1.329, 2.1.200-beta.1, 2.1.330, 2.1.99, 3.0, development build, -");
    let one = Preflight::new(Command::new("agent"), "").tested(["0.61.0", "0.61.0"]);
    assert_snapshot!(one.doubt("0.62.0").unwrap(), @"newer than what was tested, which is 0.61.0");
    assert_eq!(Preflight::new(Command::new("agent"), "").doubt("1.0"), None);
}
