//! The scripted agent as a process: real files, real git, its real stream.

use crate::room::Room;
use insta::assert_snapshot;

#[test]
fn it_edits_runs_and_commits() {
    let room = Room::new();
    let run = room.play(
        "say I will add a greeting
         edit docs/grüße an alle.txt <<END
hello
END
         append README.md <<END
second line
END
         run cat README.md; echo a warning >&2
         commit Add a greeting
         cost 0.25 1000 200
         cost 0.1 10 5
         say all done",
    );
    assert_snapshot!(run, @r#"
    exit code 0
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"text":"I will add a greeting","type":"text"}
    {"id":"call_1","input":{"content":"hello\n","path":"docs/grüße an alle.txt"},"name":"edit","type":"tool_call"}
    {"id":"call_1","is_error":false,"output":"wrote 6 bytes to docs/grüße an alle.txt","type":"tool_result"}
    {"id":"call_2","input":{"content":"second line\n","path":"README.md"},"name":"append","type":"tool_call"}
    {"id":"call_2","is_error":false,"output":"appended 12 bytes to README.md","type":"tool_result"}
    {"id":"call_3","input":{"command":"cat README.md; echo a warning >&2"},"name":"bash","type":"tool_call"}
    {"id":"call_3","is_error":false,"output":"a repository\nsecond line\na warning\n","type":"tool_result"}
    {"id":"call_4","input":{"message":"Add a greeting"},"name":"commit","type":"tool_call"}
    {"id":"call_4","is_error":false,"output":"[main …] Add a greeting\n 2 files changed, 2 insertions(+)\n create mode 100644 \"docs/gr\\303\\274\\303\\237e an alle.txt\"\n","type":"tool_result"}
    {"cost_usd":0.25,"input_tokens":1000,"output_tokens":200,"type":"usage"}
    {"cost_usd":0.35,"input_tokens":1010,"output_tokens":205,"type":"usage"}
    {"text":"all done","type":"text"}
    {"cost_usd":0.35,"input_tokens":1010,"is_error":false,"output_tokens":205,"session_id":"generated","summary":"all done","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.git("log --format=%an:%s --name-status"), @"
    Optio Scripted Agent:Add a greeting

    M	README.md
    A	docs/grüße an alle.txt
    Optio Scripted Agent:Begin

    A	README.md
    ");
    assert_snapshot!(room.git("status --porcelain"), @"");
}

#[test]
fn a_failing_command_ends_the_run_and_a_tried_one_does_not() {
    let room = Room::new();
    assert_snapshot!(room.play("try echo no; exit 3\nrun echo broken; exit 4\nsay never"), @r#"
    exit code 1
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"id":"call_1","input":{"command":"echo no; exit 3"},"name":"bash","type":"tool_call"}
    {"id":"call_1","is_error":true,"output":"no\nexit status: 3","type":"tool_result"}
    {"id":"call_2","input":{"command":"echo broken; exit 4"},"name":"bash","type":"tool_call"}
    {"id":"call_2","is_error":true,"output":"broken\nexit status: 4","type":"tool_result"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":true,"output_tokens":0,"session_id":"generated","summary":"bash failed: exit status: 4","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.play("commit nothing"), @r#"
    exit code 1
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"id":"call_1","input":{"message":"nothing"},"name":"commit","type":"tool_call"}
    {"id":"call_1","is_error":true,"output":"On branch main\nnothing to commit, working tree clean\nexit status: 1","type":"tool_result"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":true,"output_tokens":0,"session_id":"generated","summary":"commit failed: exit status: 1","turns":1,"type":"result"}
    "#);
}

#[test]
fn a_session_is_resumed_under_its_id() {
    let room = Room::new();
    let script = "[first]\nsay first\n[first 2]\nsay first again\n[resume-ci]\nsay fixing";
    assert_snapshot!(room.agent(script, &["--session", "s-1"]), @r#"
    exit code 0
    {"model":"scripted","session_id":"s-1","type":"init","version":"0.1.0"}
    {"text":"first","type":"text"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":false,"output_tokens":0,"session_id":"s-1","summary":"first","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.agent(script, &["--resume", "s-1", "--kind", "resume-ci"]), @r#"
    exit code 0
    {"model":"scripted","session_id":"s-1","type":"init","version":"0.1.0"}
    {"text":"fixing","type":"text"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":false,"output_tokens":0,"session_id":"s-1","summary":"fixing","turns":2,"type":"result"}
    "#);
    assert_snapshot!(room.agent(script, &["--resume", "s-1"]), @r#"
    exit code 0
    {"model":"scripted","session_id":"s-1","type":"init","version":"0.1.0"}
    {"text":"first again","type":"text"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":false,"output_tokens":0,"session_id":"s-1","summary":"first again","turns":3,"type":"result"}
    "#);
    assert_snapshot!(room.agent(script, &["--session", "s-1"]), @"
    exit code 1
    stderr: optio-scripted-agent: session id s-1 is already in use; go on with it by --resume, or begin another
    ");
    assert_snapshot!(room.agent(script, &["--resume", "s-2"]), @r#"
    exit code 1
    stderr: no conversation found with session id s-2
    {"http_status":null,"kind":"session_not_found","message":"no conversation found with session id s-2","type":"error"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":true,"output_tokens":0,"session_id":"s-2","summary":"no conversation found with session id s-2","turns":0,"type":"result"}
    "#);
}

#[test]
fn a_run_that_cannot_begin_says_why_and_changes_nothing() {
    let room = Room::new();
    let before = room.everything();
    assert_snapshot!(room.play("edit a.txt <<END\ntext\nEND\nsya done"), @r#"
    exit code 2
    stderr: optio-scripted-agent: the script in the prompt, line 4: there is no step "sya"; the steps are say, think, edit, append, delete, run, try, when, commit, comment, verdict, cost, rate-limit, fail, error, hang, sleep, spam, raw, bytes, long, lie, crash, spawn-stray, wait-file
    "#);
    assert_snapshot!(room.prompt("please fix the bug", &[]), @"
    exit code 2
    stderr: optio-scripted-agent: there is no script; put one into the task between a line ```optio-script and a line ```, name a file with --script, or write .optio/script
    ");
    assert_snapshot!(room.agent("[first]\nsay hello", &["--kind", "review"]), @"
    exit code 2
    stderr: optio-scripted-agent: the script has no section for this run; add [review] or [any] to it
    ");
    assert_snapshot!(room.agent("edit a.txt <<END\nEND\nverdict approve fine", &["--kind", "review"]), @"
    exit code 2
    stderr: optio-scripted-agent: the script gives a verdict, but there is no file for it; give one with --verdict-file
    ");
    assert_snapshot!(room.agent("say hello", &["--kind", "coding"]), @r#"
    exit code 2
    stderr: optio-scripted-agent: "coding" is no kind of run; the kinds are first, resume-ci, resume-review, resume-conflict, review and retry
    "#);
    assert_snapshot!(room.prompt("hello", &["--script", "nowhere.txt"]), @"
    exit code 2
    stderr: optio-scripted-agent: cannot read nowhere.txt: No such file or directory (os error 2)
    ");
    assert_eq!(room.everything(), before);
}

#[test]
fn the_script_may_stand_in_a_file() {
    let room = Room::new();
    room.write(".optio/script", "say from the repository");
    room.write("other", "say from the option");
    room.write("prompt", "```optio-script\nsay from the prompt's file\n```");
    room.write(
        "task.md",
        "Add it.\n```optio-script\nsay from the task\n```",
    );
    assert_snapshot!(room.prompt("fix it", &[]).said(), @"from the repository");
    assert_snapshot!(room.prompt("fix it", &["--script", "other"]).said(), @"from the option");
    assert_snapshot!(room.prompt("CI failed", &["--task-file", "task.md", "--script", "other"]).said(), @"from the task");
    assert_snapshot!(room.prompt("CI failed", &["--task-file", "gone.md"]).said(), @"from the repository");
    assert_snapshot!(room.prompt("fix it", &["--script", "other", "--prompt-file", "prompt"]).said(), @"from the prompt's file");
}

#[test]
fn a_review_writes_its_verdict() {
    let room = Room::new();
    let script =
        "comment src/lib.rs:3 this can overflow\nverdict request_changes one thing is left";
    assert_snapshot!(room.agent(script, &["--kind", "review", "--verdict-file", "verdict.json"]), @r#"
    exit code 0
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"id":"call_1","input":{"comments":[{"body":"this can overflow","line":3,"path":"src/lib.rs"}],"summary":"one thing is left","verdict":"request_changes"},"name":"verdict","type":"tool_call"}
    {"id":"call_1","is_error":false,"output":"the verdict is written","type":"tool_result"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":false,"output_tokens":0,"session_id":"generated","summary":"one thing is left","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.read("verdict.json"), @r#"{"verdict":"request_changes","summary":"one thing is left","comments":[{"path":"src/lib.rs","line":3,"body":"this can overflow"}]}"#);
}

#[test]
fn lines_outside_the_format_are_printed_as_they_are() {
    let room = Room::new();
    let run = room.play("raw Warning: not json\nbytes fffe\nsay next\nlong 100000\nbytes 7b");
    let shapes: Vec<_> = run.stdout.split(|&byte| byte == b'\n').map(shape).collect();
    assert_snapshot!(shapes.join("\n"), @r#"
    104 bytes, "init"
    17 bytes, not json: "Warning: not json"
    2 bytes, not json: "��"
    29 bytes, "text"
    100000 bytes, "text"
    1 bytes, not json: "{"
    163 bytes, "result"
    0 bytes, not json: ""
    "#);
}

fn shape(line: &[u8]) -> String {
    let kind =
        serde_json::from_slice::<serde_json::Value>(line).map(|line| line["type"].to_string());
    let kind = kind.unwrap_or_else(|_| format!("not json: {:?}", String::from_utf8_lossy(line)));
    format!("{} bytes, {kind}", line.len())
}

#[test]
fn the_ways_to_fail_are_told_apart() {
    let room = Room::new();
    assert_snapshot!(room.play("fail 7 the licence has run out"), @r#"
    exit code 7
    stderr: the licence has run out
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":true,"output_tokens":0,"session_id":"generated","summary":"the licence has run out","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.play("error authentication_failed Invalid API key"), @r#"
    exit code 1
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"http_status":401,"kind":"authentication_failed","message":"Invalid API key","type":"error"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":true,"output_tokens":0,"session_id":"generated","summary":"Invalid API key","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.play("lie"), @r#"
    exit code 0
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":false,"output_tokens":0,"session_id":"generated","summary":"done: the change is implemented, committed, and all tests pass","turns":1,"type":"result"}
    "#);
    assert_snapshot!(room.play("say going down\ncrash"), @r#"
    signal: 9 (SIGKILL)
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"text":"going down","type":"text"}
    "#);
    let limited = room.play("rate-limit 3600");
    assert_eq!(
        (limited.lines()[1]["type"].as_str(), limited.code()),
        (Some("rate_limit"), "exit code 1".to_owned())
    );
}

#[test]
fn no_link_leads_an_edit_out_of_the_folder() {
    let room = Room::new();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), room.path().join("link")).unwrap();
    assert_snapshot!(room.play("edit link/a.txt <<END\nEND"), @r#"
    exit code 1
    {"model":"scripted","session_id":"generated","type":"init","version":"0.1.0"}
    {"id":"call_1","input":{"content":"","path":"link/a.txt"},"name":"edit","type":"tool_call"}
    {"id":"call_1","is_error":true,"output":"link/a.txt: leads out of the working directory","type":"tool_result"}
    {"cost_usd":0.0,"input_tokens":0,"is_error":true,"output_tokens":0,"session_id":"generated","summary":"edit failed: link/a.txt: leads out of the working directory","turns":1,"type":"result"}
    "#);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn it_waits_for_a_file_and_leaves_a_stray_behind() {
    let room = Room::new();
    let mut agent = room.start("spawn-stray exec sleep 600\nsay ready\nwait-file go\nsay gone on");
    let stray = agent.next_line("tool_result")["output"]
        .as_str()
        .unwrap()
        .replace("started ", "");
    agent.next_line("text");
    assert!(room.is_alive(&stray));
    room.write("go", "");
    assert_eq!(agent.next_line("text")["text"], "gone on");
    assert!(agent.wait().success());
    assert!(room.is_alive(&stray), "a stray outlives its agent");
    room.kill(&stray);
}

#[test]
fn a_hanging_agent_dies_of_sigterm_without_a_result() {
    let room = Room::new();
    let mut agent = room.start("say hanging\nhang");
    agent.next_line("text");
    room.kill(&agent.id());
    assert_snapshot!(agent.wait(), @"signal: 15 (SIGTERM)");
    assert_eq!(agent.rest(), "");
}
