//! Gemini CLI: every recording, and the commands.

use optio_agents::gemini::{Auth, Gemini, Permissions};
use optio_core::{
    agent::{Agent, AgentVerdict, Ending},
    failure::{ExitStatus, FailureClass, RetryAdvice},
    money::Usage,
    run::RunKind,
    runtime::Command,
    secret::Secret,
    transcript::{RunReport, SessionId},
};

use super::{now, told_all};
use crate::commands::{refused, shown, spec};

#[test]
fn every_recording() {
    let table = told_all("gemini", &Gemini::default(), |_| Usage::default());
    insta::assert_snapshot!("gemini", table);
}

#[test]
fn a_run_becomes_a_command() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("7cc437f3-6b70-4bd6-9e47-b71096f0167d".to_owned()));
    resumed.model = Some("gemini-2.5-pro".to_owned());
    let full = Gemini::from_command(Command::new("/opt/gemini"))
        .with_auth(Auth::ApiKey(Secret::new("the-api-key")))
        .with_base_url("https://gateway.example")
        .with_permissions(Permissions::Edit)
        .with_instructions("be brief")
        .with_mcp_servers(Secret::new(r#"{"mcpServers":{"docs":{"command":"docs"}}}"#))
        .with_max_turns(20);
    let table = [
        shown(&Gemini::default(), &spec(RunKind::First)),
        shown(&full, &resumed),
    ];
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    GEMINI_CLI_NO_RELAUNCH=true
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"

    GEMINI_CLI_HOME=/ws/agents/gemini
    GEMINI_CLI_NO_RELAUNCH=true
    GOOGLE_GEMINI_BASE_URL=https://gateway.example
    GEMINI_API_KEY=***
    trees/a$ /opt/gemini -o stream-json --approval-mode auto_edit --skip-trust -m gemini-2.5-pro --resume 7cc437f3-6b70-4bd6-9e47-b71096f0167d < b"fix it"
    shared agents/gemini/.gemini/settings.json: {"context":{"includeDirectories":["/ws/agents/gemini/instructions"],"loadMemoryFromIncludeDirectories":true},"general":{"enableAutoUpdate":false,"enableAutoUpdateNotification":false},"mcpServers":{"docs":{"args":[],"command":"docs","env":{}}},"model":{"maxSessionTurns":20},"privacy":{"usageStatisticsEnabled":false},"security":{"auth":{"selectedType":"gemini-api-key"}},"telemetry":{"enabled":false}}
    shared agents/gemini/instructions/GEMINI.md: be brief
    "#);
}

#[test]
fn every_way_to_show_who_it_works_for() {
    let secret = || Secret::new("the-secret");
    let vertex = |credentials| Auth::Vertex {
        project: "shop".to_owned(),
        location: "europe-west1".to_owned(),
        credentials,
    };
    let table = [
        Auth::Workspace,
        Auth::ApiKey(secret()),
        Auth::VertexKey(secret()),
        vertex(None),
        vertex(Some(secret())),
        Auth::Login(secret()),
    ]
    .map(|auth| {
        let agent = Gemini::default().with_auth(auth);
        shown(&agent, &spec(RunKind::First))
    });
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    GEMINI_CLI_NO_RELAUNCH=true
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"

    GEMINI_CLI_HOME=/ws/agents/gemini
    GEMINI_CLI_NO_RELAUNCH=true
    GEMINI_API_KEY=***
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"
    shared agents/gemini/.gemini/settings.json: {"general":{"enableAutoUpdate":false,"enableAutoUpdateNotification":false},"privacy":{"usageStatisticsEnabled":false},"security":{"auth":{"selectedType":"gemini-api-key"}},"telemetry":{"enabled":false}}

    GEMINI_CLI_HOME=/ws/agents/gemini
    GEMINI_CLI_NO_RELAUNCH=true
    GOOGLE_GENAI_USE_VERTEXAI=true
    GOOGLE_API_KEY=***
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"
    shared agents/gemini/.gemini/settings.json: {"general":{"enableAutoUpdate":false,"enableAutoUpdateNotification":false},"privacy":{"usageStatisticsEnabled":false},"security":{"auth":{"selectedType":"vertex-ai"}},"telemetry":{"enabled":false}}

    GEMINI_CLI_HOME=/ws/agents/gemini
    GEMINI_CLI_NO_RELAUNCH=true
    GOOGLE_CLOUD_LOCATION=europe-west1
    GOOGLE_CLOUD_PROJECT=shop
    GOOGLE_GENAI_USE_VERTEXAI=true
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"
    shared agents/gemini/.gemini/settings.json: {"general":{"enableAutoUpdate":false,"enableAutoUpdateNotification":false},"privacy":{"usageStatisticsEnabled":false},"security":{"auth":{"selectedType":"vertex-ai"}},"telemetry":{"enabled":false}}

    GEMINI_CLI_HOME=/ws/agents/gemini
    GEMINI_CLI_NO_RELAUNCH=true
    GOOGLE_APPLICATION_CREDENTIALS=/ws/files/a/google-credentials.json
    GOOGLE_CLOUD_LOCATION=europe-west1
    GOOGLE_CLOUD_PROJECT=shop
    GOOGLE_GENAI_USE_VERTEXAI=true
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"
    files/a/google-credentials.json: the-secret
    shared agents/gemini/.gemini/settings.json: {"general":{"enableAutoUpdate":false,"enableAutoUpdateNotification":false},"privacy":{"usageStatisticsEnabled":false},"security":{"auth":{"selectedType":"vertex-ai"}},"telemetry":{"enabled":false}}

    GEMINI_CLI_HOME=/ws/agents/gemini
    GEMINI_CLI_NO_RELAUNCH=true
    GOOGLE_GENAI_USE_GCA=true
    trees/a$ gemini -o stream-json --approval-mode yolo --skip-trust --session-id 00000000-0000-0000-0000-000000000007 < b"fix it"
    shared agents/gemini/.gemini/oauth_creds.json: the-secret
    shared agents/gemini/.gemini/settings.json: {"general":{"enableAutoUpdate":false,"enableAutoUpdateNotification":false},"privacy":{"usageStatisticsEnabled":false},"security":{"auth":{"selectedType":"oauth-personal"}},"telemetry":{"enabled":false}}
    "#);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let resume = |session: &str| {
        let mut run = spec(RunKind::ResumeCi);
        run.resume = Some(SessionId(session.to_owned()));
        run
    };
    let first = spec(RunKind::First);
    let key = || Gemini::default().with_auth(Auth::ApiKey(Secret::new("k")));
    let login = Gemini::default().with_auth(Auth::Login(Secret::new("{}")));
    let table = [
        refused(&key(), &resume("latest")),
        refused(&key(), &resume("5")),
        refused(&login.with_base_url("https://gateway.example"), &first),
        refused(&Gemini::default().with_max_turns(3), &first),
        refused(&key().with_mcp_servers(Secret::new("[]")), &first),
    ];
    insta::assert_snapshot!(table.join("\n"), @r#"
    latest is not a session of Gemini CLI
    5 is not a session of Gemini CLI
    a base URL needs an API key or Vertex AI: a login of Google knows its own address
    a limit of turns, MCP servers and instructions need credentials that are given: with those of the workspace its own settings count
    the MCP servers are not JSON like {"mcpServers": {"name": {"command": "program"}}}: line 1, column 2
    "#);
}

#[test]
fn with_several_models_each_has_its_price() {
    let stats = r#"{"total_tokens":3000000,"input_tokens":2000000,"output_tokens":1000000,"cached":0,"models":{
        "gemini-2.5-pro":{"total_tokens":1500000,"input_tokens":1000000,"output_tokens":500000,"cached":0},
        "MODEL":{"total_tokens":1500000,"input_tokens":1000000,"output_tokens":500000,"cached":1000000}}}"#;
    let cost = |model: &str| {
        let stats = stats.replace("MODEL", model).replace('\n', "");
        let line = format!(r#"{{"type":"result","status":"success","stats":{stats}}}"#);
        let mut report = RunReport::default();
        for event in Gemini::default().read_line(&line) {
            report.fold(&event);
        }
        report.usage.cost.to_string()
    };
    assert_eq!(cost("gemini-2.5-flash-lite"), "$6.46");
    assert_eq!(cost("a-model-of-next-year"), "$0.00", "a part is no sum");
}

/// It ends with the status modulo 256, also if it has found no words for it.
#[test]
fn a_limit_that_only_the_exit_code_tells_is_waited_for() {
    let ending = Ending {
        status: Some(ExitStatus::Code(173)),
        report: &RunReport::default(),
        stderr: "",
        resumed: None,
    };
    let AgentVerdict::Failed(failure) = Gemini::default().verdict(&ending, now()) else {
        panic!("it has failed");
    };
    assert_eq!(failure.class, FailureClass::RateLimited);
    assert!(matches!(failure.retry, RetryAdvice::Until(at) if at > now()));
}
