//! The contract of [`Agent`]: translators, so none of this starts a process.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    agent::{Agent, AgentVerdict, Ending, Places, RunSpec},
    clock::Timestamp,
    failure::ExitStatus,
    id::{RunId, TaskId},
    money::{Usage, Usd},
    run::RunKind,
    runtime::InputEnd,
    secret::{MASK, Masker},
    transcript::{Failed, RunReport, SessionId, TranscriptEvent},
    workspace::WorkspacePath,
};

/// One test per clause of the [`Agent`] contract; see [`conformance`](crate::conformance). The expression gives an
/// agent, or an [`AgentUnderTest`] with lines of its stream.
#[macro_export]
macro_rules! agent_conformance {
    ($make:expr) => {
        $crate::agent_conformance! { @ $make, [
            it_has_a_name_that_can_be_typed
            a_command_depends_on_nothing_but_the_run
            a_command_puts_no_secret_in_an_argument
            what_it_keeps_secret_is_told
            a_command_writes_nothing_into_the_worktree
            what_a_run_alone_may_use_lies_in_its_own_folder
            the_prompt_reaches_the_agent_but_not_its_arguments
            the_session_that_a_new_run_has_is_in_its_command
            what_it_can_be_told_is_whole_lines_into_an_input_that_stays_open
            an_account_shows_no_secret
            the_same_line_always_gives_the_same_events
            a_line_it_does_not_know_gives_one_raw_event
            no_line_makes_it_panic
            success_needs_code_0_and_a_closing_word
            prose_decides_nothing
            it_can_be_looked_for
        ] }
    };
    (@ $make:expr, [$($clause:ident)+]) => {
        $(
            #[test]
            fn $clause() {
                let subject = $crate::conformance::agent::AgentUnderTest::from($make);
                $crate::conformance::agent::$clause(&subject);
            }
        )+
    };
}

/// An agent under test.
#[derive(Debug, Clone)]
pub struct AgentUnderTest {
    agent: Arc<dyn Agent>,
    lines: Vec<String>,
}

impl AgentUnderTest {
    /// An agent, with lines of its real stream to take apart.
    #[must_use]
    pub fn new<'l>(agent: impl Agent, lines: impl IntoIterator<Item = &'l str>) -> Self {
        Self {
            agent: Arc::new(agent),
            lines: lines.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Lines of its stream, and lines that are not.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let own = self.lines.iter().map(String::as_str);
        own.chain(UNKNOWN.iter().copied())
            .chain(NASTY.iter().copied())
    }
}

impl<A: Agent> From<A> for AgentUnderTest {
    fn from(agent: A) -> Self {
        Self::new(agent, [])
    }
}

/// Lines of no agent.
const UNKNOWN: &[&str] = &[
    "npm WARN deprecated: something else writes here",
    r#"{"type":"optio_conformance","of":"no agent"}"#,
    r#"{"type":"text","text":"cut of"#,
    "[1, 2, 3]",
    "\u{1b}[31mred\u{1b}[0m",
];

/// Lines that trip what indexes, recurses or assumes.
const NASTY: &[&str] = &[
    "",
    " ",
    "null",
    "0",
    "{}",
    "[]",
    "\"\"",
    "{\"type\":null}",
    "{\"type\":{\"type\":[]}}",
    "{\"type\":\"\"}",
    "{\"type\":\"result\"}",
    "{\"type\":\"assistant\",\"message\":null}",
    "{\"type\":\"item.completed\",\"item\":7}",
    "\u{fffd}\u{0}\r",
    "žluťoučký 🦀\u{200d}e\u{301}",
    "{\"a\":1e999999}",
];

fn spec(kind: RunKind) -> RunSpec {
    let place = |path: &str| WorkspacePath::root().child("of optio").child(path);
    let places = Places {
        root: "/workspaces/7".to_owned(),
        worktree: place("tree"),
        files: place("files"),
    };
    let (task, run) = (Uuid::from_u128(1), Uuid::from_u128(2));
    RunSpec::new(
        TaskId::from_uuid(task),
        RunId::from_uuid(run),
        kind,
        PROMPT.to_owned(),
        places,
    )
}

const PROMPT: &str = "Fix the \"flaky\" test; it's in $HOME\n--and `more` *\n\u{1f980}";

/// Runs of every kind, new and resumed, with a model and an effort and without.
fn specs() -> impl Iterator<Item = RunSpec> {
    RunKind::ALL.into_iter().flat_map(|kind| {
        let plain = spec(kind);
        let mut full = spec(kind);
        full.model = Some("a-model".to_owned());
        full.resume = Some(SessionId("0190a5f0-0000-7000-8000-000000000000".to_owned()));
        let mut thoughtful = full.clone();
        thoughtful.effort = Some("high".to_owned());
        [plain, full, thoughtful]
    })
}

/// No blanks, and always the same.
pub fn it_has_a_name_that_can_be_typed(subject: &AgentUnderTest) {
    let name = subject.agent.name();
    let typed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    assert!(!name.is_empty() && name.chars().all(typed), "{name:?}");
    assert_eq!(subject.agent.name(), name);
}

/// The same run gives the same command, or the same refusal.
pub fn a_command_depends_on_nothing_but_the_run(subject: &AgentUnderTest) {
    for spec in specs() {
        let command = || {
            subject
                .agent
                .command(&spec)
                .map_err(|error| error.to_string())
        };
        assert_eq!(command(), command());
    }
}

/// If it is known which session a new run has, its command says so.
pub fn the_session_that_a_new_run_has_is_in_its_command(subject: &AgentUnderTest) {
    for spec in specs().filter(|spec| spec.resume.is_none()) {
        let Some(session) = subject.agent.new_session(spec.run) else {
            continue;
        };
        let Ok(command) = subject.agent.command(&spec) else {
            continue;
        };
        let says = |text: &String| text.contains(&session.0);
        assert!(command.args.iter().chain(command.env.values()).any(says));
    }
}

/// Secrets are in the environment or in files.
pub fn a_command_puts_no_secret_in_an_argument(subject: &AgentUnderTest) {
    for spec in specs() {
        let Ok(command) = subject.agent.command(&spec) else {
            continue;
        };
        for (name, secret) in &command.secret_env {
            let shows = |text: &String| text.contains(secret.expose());
            assert!(!command.args.iter().any(shows), "{name}");
            assert!(!command.env.values().any(shows), "{name}");
        }
    }
}

/// So that an agent that prints its environment shows none. What is JSON may hold other things beside its secrets.
pub fn what_it_keeps_secret_is_told(subject: &AgentUnderTest) {
    let masker = Masker::new(&subject.agent.secrets());
    for spec in specs() {
        let Ok(command) = subject.agent.command(&spec) else {
            continue;
        };
        for (name, secret) in &command.secret_env {
            let is_json = serde_json::from_str::<serde_json::Value>(secret.expose()).is_ok();
            assert!(
                is_json || masker.mask(secret.expose()) == MASK,
                "{name} is not among its secrets"
            );
        }
    }
}

/// Its files are beside it.
pub fn a_command_writes_nothing_into_the_worktree(subject: &AgentUnderTest) {
    for spec in specs() {
        let Ok(command) = subject.agent.command(&spec) else {
            continue;
        };
        let inside = format!("{}/", spec.worktree.as_str());
        for path in command.files.keys().chain(command.shared_files.keys()) {
            assert!(!path.as_str().starts_with(&inside), "{path}");
        }
        assert!(command.dir.is_none_or(|dir| dir == spec.worktree));
    }
}

/// Files of a run go with it, so none that another run needs is among them; what several need is a shared file.
pub fn what_a_run_alone_may_use_lies_in_its_own_folder(subject: &AgentUnderTest) {
    for spec in specs() {
        let Ok(command) = subject.agent.command(&spec) else {
            continue;
        };
        let (own, state) = (
            format!("{}/", spec.files.as_str()),
            format!("{}/", spec.state.as_str()),
        );
        for path in command.files.keys() {
            assert!(path.as_str().starts_with(&own), "{path}");
        }
        for path in command.shared_files.keys() {
            assert!(path.as_str().starts_with(&state), "{path}");
        }
    }
}

/// By standard input or by a file: an argument has a limit, and everybody on the machine can read it.
pub fn the_prompt_reaches_the_agent_but_not_its_arguments(subject: &AgentUnderTest) {
    for spec in specs() {
        let Ok(command) = subject.agent.command(&spec) else {
            continue;
        };
        assert!(
            !command.args.iter().any(|arg| arg.contains(PROMPT)),
            "{:?}",
            command.args
        );
        let mut data = command.files.values().chain([&command.stdin]);
        let holds = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let escaped = serde_json::Value::from(PROMPT).to_string();
            text.contains(PROMPT) || text.contains(&escaped)
        };
        assert!(data.any(|bytes| holds(bytes)), "the prompt is nowhere");
    }
}

/// The same lines each time, with nothing behind them; and of an agent that can be told nothing the input ends at once.
pub fn what_it_can_be_told_is_whole_lines_into_an_input_that_stays_open(subject: &AgentUnderTest) {
    let told = subject.agent.message("use tabs,\nand no \"emoji\"");
    assert_eq!(told, subject.agent.message("use tabs,\nand no \"emoji\""));
    let end = match &told {
        Some(lines) => {
            assert!(
                lines.contains("use tabs,") && lines.ends_with('\n'),
                "{lines}"
            );
            InputEnd::WhenTold
        }
        None => InputEnd::AtOnce,
    };
    for spec in specs() {
        if let Ok(command) = subject.agent.command(&spec) {
            assert_eq!(command.stdin_end, end, "{:?}", spec.kind);
        }
    }
}

/// And is the same each time.
pub fn an_account_shows_no_secret(subject: &AgentUnderTest) {
    let account = subject.agent.account();
    assert_eq!(account, subject.agent.account());
    for spec in specs() {
        let secrets = (subject.agent.command(&spec).into_iter())
            .flat_map(|command| command.secret_env.into_values());
        for secret in secrets.filter(|secret| !secret.expose().is_empty()) {
            let name = account.as_ref().map(|account| account.as_str());
            assert!(!name.is_some_and(|name| name.contains(secret.expose())));
        }
    }
}

/// `read_line` has no memory.
pub fn the_same_line_always_gives_the_same_events(subject: &AgentUnderTest) {
    let read = |line| subject.agent.read_line(line);
    let first: Vec<_> = subject.lines().map(read).collect();
    let mut again: Vec<_> = subject.lines().collect();
    again.reverse();
    let mut again: Vec<_> = again.into_iter().map(read).collect();
    again.reverse();
    assert_eq!(first, again);
}

/// With all of its text: no line is lost, and none is an error.
pub fn a_line_it_does_not_know_gives_one_raw_event(subject: &AgentUnderTest) {
    for line in UNKNOWN {
        let raw = TranscriptEvent::Raw {
            text: (*line).to_owned(),
        };
        assert_eq!(subject.agent.read_line(line), [raw]);
    }
}

/// Wherever it is cut.
pub fn no_line_makes_it_panic(subject: &AgentUnderTest) {
    for line in subject.lines() {
        for (at, _) in line.char_indices() {
            let _ = subject.agent.read_line(&line[..at]);
            let _ = subject.agent.read_line(&line[at..]);
        }
    }
    for open in ["[", "{\"a\":", "{\"type\":\"assistant\",\"message\":["] {
        let _ = subject.agent.read_line(&open.repeat(10_000));
    }
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn succeeds(subject: &AgentUnderTest, status: Option<ExitStatus>, report: &RunReport) -> bool {
    let ending = Ending {
        status,
        report,
        stderr: "",
        resumed: None,
    };
    matches!(
        subject.agent.verdict(&ending, NOW),
        AgentVerdict::Finished { .. }
    )
}

fn closed(failed: Failed) -> RunReport {
    RunReport {
        session: Some(SessionId("a-session".to_owned())),
        usage: Usage {
            cost: Usd::from_micros(10_000),
            ..Usage::default()
        },
        result: Some((failed, "all is done".to_owned())),
        ..RunReport::default()
    }
}

/// One without the other is a failure.
pub fn success_needs_code_0_and_a_closing_word(subject: &AgentUnderTest) {
    let silent = RunReport {
        result: None,
        ..closed(Failed::No)
    };
    let code = |code| Some(ExitStatus::Code(code));
    let killed = Some(ExitStatus::Signal(9));
    assert!(succeeds(subject, code(0), &closed(Failed::No)));
    for (status, report) in [
        (code(0), closed(Failed::Yes)),
        (code(0), silent.clone()),
        (code(0), RunReport::default()),
        (code(1), closed(Failed::No)),
        (code(1), silent),
        (killed, closed(Failed::No)),
        (None, closed(Failed::No)),
        (None, RunReport::default()),
    ] {
        assert!(
            !succeeds(subject, status, &report),
            "{status:?}, {report:?}"
        );
    }
}

/// A repository about billing does not look like an unpaid bill.
pub fn prose_decides_nothing(subject: &AgentUnderTest) {
    let verdict = |summary: &str| {
        let report = RunReport {
            result: Some((Failed::No, summary.to_owned())),
            ..closed(Failed::No)
        };
        succeeds(subject, Some(ExitStatus::Code(0)), &report)
    };
    for summary in [
        "",
        "error: rate limit exceeded",
        "401 unauthorized: invalid api key",
    ] {
        assert!(verdict(summary), "{summary}");
    }
}

/// There is a command that tells its version, and a word for whoever lacks it.
pub fn it_can_be_looked_for(subject: &AgentUnderTest) {
    let preflight = subject.agent.preflight();
    assert!(!preflight.version.program.is_empty());
    assert!(!preflight.remedy.trim().is_empty());
    assert_eq!(subject.agent.preflight(), preflight);
}
