//! Agents that are described by a manifest: the recordings of those whose manifests this crate holds, and the commands.

use std::path::Path;

use optio_agents::command_agent::CommandAgent;
use optio_core::{
    agent::{Agent, AgentVerdict, Ending},
    failure::{ExitStatus, FailureClass},
    money::Usage,
    run::RunKind,
    transcript::{RunReport, SessionId},
};

use super::{now, recording, told_all};
use crate::commands::{refused, shown, spec};

/// The agent of the manifest of this name.
pub(crate) fn agent(name: &str) -> CommandAgent {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let manifest = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    CommandAgent::parse(&manifest).unwrap()
}

/// What the session of a recording had used before it.
fn used_before(case: &str) -> Usage {
    match case {
        "resume-2-resumed" => {
            let report =
                recording("qwen", "resume-1-first").report(&agent("qwen"), Usage::default());
            report.session_usage.unwrap()
        }
        _ => Usage::default(),
    }
}

#[test]
fn every_recording_of_qwen() {
    insta::assert_snapshot!("qwen", told_all("qwen", &agent("qwen"), used_before));
}

#[test]
fn every_recording_of_aider() {
    insta::assert_snapshot!("aider", told_all("aider", &agent("aider"), used_before));
}

#[test]
fn every_recording_of_amp() {
    insta::assert_snapshot!("amp", told_all("amp", &agent("amp"), used_before));
}

#[test]
fn a_run_becomes_a_command() {
    let mut first = spec(RunKind::First);
    first.model = Some("large".to_owned());
    let mut resumed = first.clone();
    resumed.resume = Some(SessionId("7cc437f3-6b70-4bd6-9e47-b71096f0167d".to_owned()));
    let environment = |name: &str| match name {
        "OPENAI_API_KEY" => Some("the-api-key".to_owned()),
        "OPENAI_BASE_URL" => Some("https://gateway.example/v1".to_owned()),
        _ => None,
    };
    let qwen = agent("qwen").with_environment(environment);
    let aider = agent("aider").with_environment(environment);
    let table = [
        shown(&qwen, &first),
        shown(&qwen, &resumed),
        shown(&aider, &first),
        shown(&agent("amp"), &spec(RunKind::First)),
    ];
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    OPENAI_BASE_URL=https://gateway.example/v1
    QWEN_CODE_SUPPRESS_YOLO_WARNING=1
    OPENAI_API_KEY=***
    trees/a$ qwen --output-format stream-json --auth-type openai --approval-mode yolo -m large --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"

    OPENAI_BASE_URL=https://gateway.example/v1
    QWEN_CODE_SUPPRESS_YOLO_WARNING=1
    OPENAI_API_KEY=***
    trees/a$ qwen --output-format stream-json --auth-type openai --approval-mode yolo -m large --resume 7cc437f3-6b70-4bd6-9e47-b71096f0167d < b"fix it"

    OPENAI_API_KEY=***
    trees/a$ aider --yes-always --no-stream --no-pretty --no-fancy-input --no-gitignore --no-detect-urls --no-suggest-shell-commands --no-analytics --no-check-update --no-show-release-notes --no-show-model-warnings --chat-history-file /ws/files/a/aider.chat.history.md --input-history-file /ws/files/a/aider.input.history --model large --message-file /ws/files/a/prompt.md < b""
    files/a/prompt.md: fix it

    trees/a$ amp --dangerously-allow-all --stream-json -x < b"fix it"
    "#);
}

#[test]
fn what_a_manifest_has_no_arguments_for_is_refused() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("T-1".to_owned()));
    let mut odd = spec(RunKind::ResumeCi);
    odd.resume = Some(SessionId("--yolo".to_owned()));
    let mut model = spec(RunKind::First);
    model.model = Some("large".to_owned());
    let by_argument = include_str!("../../../manifests/amp.toml").replace(
        "prompt = \"stdin\"",
        "prompt = \"argument\"\nprompt-args = [\"{prompt}\"]",
    );
    let mut long = spec(RunKind::First);
    long.prompt = "please ".repeat(20_000);
    let table = [
        refused(&agent("amp"), &resumed),
        refused(&agent("qwen"), &odd),
        refused(&agent("amp"), &model),
        refused(&CommandAgent::parse(&by_argument).unwrap(), &long),
    ];
    insta::assert_snapshot!(table.join("\n"), @r#"
    amp cannot go on with a session: its manifest has no resume-args
    --yolo is not a session of qwen
    amp cannot be told to use large: its manifest has no model-args
    the prompt has 140000 bytes, and an argument can have 131071: let amp read it by stdin or file
    "#);
}

#[test]
fn a_mistake_in_a_manifest_is_told_with_its_place() {
    let good = include_str!("../../../manifests/qwen.toml");
    let aider = include_str!("../../../manifests/aider.toml");
    let rows = [
        (good, "name = \"qwen\"", "name = \"Qwen Code\""),
        (good, "program = \"qwen\"", ""),
        (good, "prompt = \"stdin\"", "prompt = \"telepathy\""),
        (good, "prompt = \"stdin\"", "prompt = \"file\""),
        (
            good,
            "prompt = \"stdin\"",
            "prompt = \"argument\"\nprompt-args = [\"-p\"]",
        ),
        (good, "[\"-m\", \"{model}\"]", "[\"-m\", \"{modell}\"]"),
        (good, "[\"-m\", \"{model}\"]", "[\"-m\", \"{session}\"]"),
        (good, "secrets =", "secret ="),
        (
            good,
            "secrets = [\"OPENAI_API_KEY\"]",
            "secrets = [\"OPENAI_MODEL\"]",
        ),
        (good, "53 = \"max_turns\"", "53 = \"too_many_turns\""),
        (good, "53 = \"max_turns\"", "531 = \"max_turns\""),
        (good, "id = \"/session_id\"", "id = \"session_id\""),
        (good, "id = \"/session_id\"\n", ""),
        (
            good,
            "id = \"/session_id\"",
            "id = \"/session_id\"\nsummary = \"/x\"",
        ),
        (good, "{ \"/type\" = \"assistant\" }", "{ \"/type\" = 1.5 }"),
        (
            good,
            "{ starts-not-with = \"[API Error: \" }",
            "{ ends-with = \"x\" }",
        ),
        (
            good,
            "failed = { \"/is_error\" = true }\nsummary",
            "summary",
        ),
        (
            good,
            "format = \"ndjson\"",
            "format = \"ndjson\"\notherwise = \"text\"",
        ),
        (
            aider,
            "match = '^Aider v(?P<version>\\S+)$'",
            "match = '^Aider v('",
        ),
        (
            aider,
            "match = '^Aider v(?P<version>\\S+)$'",
            "when = { \"/type\" = \"x\" }",
        ),
        (aider, "summary = \"title\"", "summary = \"tittle\""),
        (aider, "class = \"auth_expired\"", "class = \"auth\""),
        (aider, "otherwise = \"raw\"", "otherwise = \"prose\""),
        (aider, "leftovers = [\".aider*\"]", "leftovers = [\" \"]"),
    ];
    let table = rows.map(|(manifest, from, to)| {
        assert!(manifest.contains(from), "{from}");
        match CommandAgent::parse(&manifest.replacen(from, to, 1)) {
            Ok(_) => panic!("{to:?} is accepted"),
            Err(error) => {
                let error = error.to_string();
                let end = error.find(": use one of").unwrap_or(error.len());
                error[..end].to_owned()
            }
        }
    });
    insta::assert_snapshot!(table.join("\n"), @r#"
    name: "Qwen Code" is no name: use small letters, digits and -
    line 1: missing field `program`
    line 5: unknown variant `telepathy`, expected one of `stdin`, `argument`, `file`
    prompt-args: it is missing: say where {prompt-file} stands
    prompt-args: {prompt} is missing in it
    model-args: {modell} is no known place: use {prompt}, {prompt-file}, {model}, {session}, {worktree}, {files}, {task-file}, {verdict-file}, {run}
    model-args: {session} cannot stand here
    line 9: unknown field `secret`, expected one of `name`, `program`, `args`, `prompt`, `prompt-args`, `model-args`, `start-args`, `resume-args`, `env`, `secrets`, `variables`, `leftovers`, `version`, `exit`, `output`
    secrets: OPENAI_MODEL stands twice in env, secrets and variables: keep one of them
    exit.53: "too_many_turns" is no class of failure
    exit.531: expected an exit code from 1 to 255
    output.line 1, event 1.id: "session_id" is no JSON pointer: write /session_id
    output.line 1, event 1.id: it is missing
    output.line 1, event 1.summary: an event that is session has no such field
    output.line 2.when "/type": expected text, a whole number, true or false
    output.line 2, event 1.when "/text": expected { starts-with = "..." } or { starts-not-with = "..." }
    output.line 4, event 3.failed: it is missing: true, false, or when
    output.otherwise: only lines of text have it: a line of JSON that no rule knows stays as it is
    output.line 1.match: regex parse error:     ^Aider v(             ^ error: unclosed group
    output.line 1.when: a line of text has no when: say what it has to match
    output.line 3, event 1.summary: match has no group "tittle": write (?P<tittle>...) in it
    output.line 4, event 1.class: "auth" is no class of failure
    output.otherwise: expected text, system or raw
    leftovers: " " is no pattern: write one as in a .gitignore
    "#);
}

#[test]
fn what_finishes_a_run_is_what_the_manifest_says() {
    let manifest = |finished: &str| {
        let text = format!(
            "name = \"echo\"\nprogram = \"echo\"\nprompt = \"stdin\"\n[version]\nargs = []\nremedy = \"install it\"\n\
             [exit]\n3 = \"budget_reached\"\n[output]\nformat = \"text\"\nfinished = \"{finished}\"\n\
             [[output.line]]\nmatch = '^!! (?P<what>.*)'\n[[output.line.event]]\nis = \"error\"\nclass = \"disk_full\"\nmessage = \"what\"\n"
        );
        CommandAgent::parse(&text).unwrap()
    };
    let row = |finished: &str, code: i32, lines: &str| {
        let agent = manifest(finished);
        let mut report = RunReport::default();
        for event in lines.lines().flat_map(|line| agent.read_line(line)) {
            report.fold(&event);
        }
        let ending = Ending {
            status: Some(ExitStatus::Code(code)),
            report: &report,
            stderr: "",
            resumed: None,
        };
        match agent.verdict(&ending, now()) {
            AgentVerdict::Finished { summary } => format!("finished: {summary}"),
            AgentVerdict::Failed(failure) => failure.class.to_string(),
        }
    };
    let table = [
        row("exit-code", 0, "working\nall is done"),
        row("exit-code", 3, "working"),
        row("exit-code", 0, "working\n!! no room"),
        row("result", 0, "all is done"),
    ];
    insta::assert_snapshot!(table.join("\n"), @r#"
    finished: all is done
    budget_reached
    disk_full
    agent_crashed
    "#);
}

/// So that a budget holds for them too.
#[test]
fn tokens_that_are_told_without_money_cost_what_the_lists_say() {
    let used = Usage {
        input_tokens: 1_000_000,
        output_tokens: 100_000,
        ..Usage::default()
    };
    let cost = |of: &str, model: Option<&str>| {
        let cost = agent(of).price(model, &used);
        cost.map_or("-".to_owned(), |cost| cost.to_string())
    };
    assert_eq!(cost("qwen", Some("gpt-5.5")), "$8.00");
    assert_eq!(cost("aider", Some("openai/gpt-5.5")), "$8.00");
    assert_eq!(cost("qwen", Some("a-model-of-next-year")), "-");
    assert_eq!(cost("qwen", None), "-");
    assert_eq!(cost("amp", Some("gpt-5.5")), "-", "it tells it itself");
    // a whole run of a model that has a price
    let mut recording = recording("qwen", "multi-tool");
    recording.stdout = recording.stdout.replace("fake-model", "gpt-5.5");
    let report = recording.report(&agent("qwen"), Usage::default());
    assert_eq!(report.usage.cost.to_string(), "$0.0158");
}

#[test]
fn qwen_ends_without_a_closing_word_when_it_has_had_its_turns() {
    let failure = recording("qwen", "max-turns").failure(&agent("qwen"));
    assert_eq!(failure.class, FailureClass::MaxTurns);
    assert!(!recording("qwen", "max-turns").stdout.contains("\"result\""));
}

#[test]
fn what_qwen_says_in_the_place_of_the_model_is_no_answer() {
    let report = recording("qwen", "auth-401").report(&agent("qwen"), Usage::default());
    assert_eq!(report.last_words, "");
    assert!(report.error.is_some());
}

#[test]
fn aider_exits_with_0_whatever_happens_and_its_own_words_tell() {
    let agent = agent("aider");
    for (case, class) in [
        ("auth-401", FailureClass::AuthExpired),
        ("model-not-found", FailureClass::ModelNotFound),
        ("context-length", FailureClass::ContextLength),
    ] {
        let recording = recording("aider", case);
        assert_eq!(recording.status(), ExitStatus::SUCCESS, "{case}");
        assert_eq!(recording.failure(&agent).class, class, "{case}");
    }
}

/// Two files go where the run's own are, and what stays in the worktree is no work.
#[test]
fn aider_leaves_files_in_the_worktree_which_are_not_committed() {
    let agent = agent("aider");
    let args = agent.command(&spec(RunKind::First)).unwrap().args;
    for flag in ["--chat-history-file", "--input-history-file"] {
        let at = args.iter().position(|arg| arg == flag).unwrap();
        assert!(args[at + 1].starts_with("/ws/files/a/"), "{flag}");
    }
    assert_eq!(agent.leftovers(), [".aider*"]);
}
