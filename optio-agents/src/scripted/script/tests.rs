//! Good scripts and bad ones.

use insta::assert_snapshot;

use super::*;

fn mistake(text: &str) -> String {
    Script::parse(text).unwrap_err().to_string()
}

fn said(script: &str, kind: RunKind, time: u32) -> String {
    let script = Script::parse(script).unwrap();
    let Some(steps) = script.steps(kind, time) else {
        return "no section".to_owned();
    };
    steps
        .iter()
        .map(|step| {
            if let Step::Say(text) = step {
                text.as_str()
            } else {
                "?"
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn a_mistake_is_told_with_its_line_and_the_way_out() {
    let rows = [
        "",
        "# only a remark\n",
        "[first]\n[review]\n",
        "say hello\nsya hello",
        "say",
        "hang now",
        "edit a.txt",
        "edit <<END\nEND",
        "edit a.txt <<END\ntext",
        "edit ../a.txt <<END\nEND",
        "append /etc/passwd <<END\nEND",
        "delete .",
        "delete src/",
        "fail",
        "fail 0",
        "fail 256 too much",
        "cost -1",
        "cost 1 200",
        "cost free",
        "rate-limit soon",
        "bytes abc",
        "bytes zz",
        "bytes é0",
        "long 24",
        "verdict maybe it is fine",
        "verdict approve",
        "comment src/lib.rs what is this\nverdict approve fine",
        "comment src/lib.rs:0 what is this\nverdict approve fine",
        "comment src/lib.rs:3 what is this\nsay no verdict",
        "verdict approve fine\ncomment src/lib.rs:3 too late",
        "comment a:1 what is this\n[review]\nverdict approve fine",
        "fail 3\nsay too late",
        "[frist]\nsay hello",
        "[first\nsay hello",
        "[first 0]\nsay hello",
        "[first]\nsay hello\n[first]\nsay again",
        "say hello\n[any]\nsay again",
    ];
    let table: Vec<_> = rows
        .iter()
        .map(|text| format!("{text:?}\n  {}", mistake(text)))
        .collect();
    assert_snapshot!("mistakes", table.join("\n"));
}

#[test]
fn every_step_is_read() {
    let script = "
            # remarks and indentation say nothing
            say hello, world
            think  hm
            edit a folder/ä.txt <<END
  one
say two
END
            append a.txt <<\"\"\"
\"\"\"
            delete ./a.txt
            run make test | tail -1
            try false
            commit Fix the test: really
            comment a folder/b.rs:12 why: this?
            verdict request_changes not yet
            cost 0.25
            cost 1.5 1000 20
            sleep 5
            spam 3
            raw {not json
            bytes 7B ff0a
            long 25
            spawn-stray sleep 1000
            wait-file /tmp/go on
            rate-limit 60
            [first 2]
            fail 7 out of luck
            [resume-ci]
            fail 1
            [resume-review]
            error overloaded try later
            [resume-conflict]
            hang
            [review]
            lie
            [retry]
            crash";
    insta::assert_debug_snapshot!("steps", Script::parse(script).unwrap());
}

#[test]
fn a_run_plays_its_own_section_or_the_one_that_stands_in() {
    let own =
        "[first]\nsay first\n[resume-ci]\nsay ci\n[any]\nsay any\n[resume-ci 3]\nsay ci again";
    let bare = "say whatever\n[review]\nsay review";
    let first = "[first]\nsay first\n[first 2]\nsay second";
    let rows = [
        (own, RunKind::First, 1),
        (own, RunKind::ResumeCi, 1),
        (own, RunKind::ResumeCi, 2),
        (own, RunKind::ResumeCi, 4),
        (own, RunKind::Retry, 1),
        (own, RunKind::Review, 1),
        (bare, RunKind::First, 1),
        (bare, RunKind::Review, 1),
        (first, RunKind::First, 1),
        (first, RunKind::First, 2),
        (first, RunKind::Retry, 1),
        (first, RunKind::ResumeReview, 1),
    ];
    let table: Vec<_> = rows
        .iter()
        .map(|&(script, kind, time)| format!("{kind} {time}: {}", said(script, kind, time)))
        .collect();
    assert_snapshot!(table.join("\n"), @"
        first 1: first
        resume-ci 1: ci
        resume-ci 2: ci
        resume-ci 4: ci again
        retry 1: any
        review 1: any
        first 1: whatever
        review 1: review
        first 1: first
        first 2: second
        retry 1: first
        resume-review 1: no section
        ");
}

#[test]
fn the_first_fence_of_a_prompt_holds_the_script() {
    let find = |prompt: &str| Script::find(prompt);
    let rows = [
        "Fix it.\n\n```optio-script\nsay a\n```\nThanks\n```optio-script\nsay b\n```",
        "```` optio-script\nedit a.md <<END\n```\ncode\n```\nEND\n````",
        "  ```optio-script\r\nsay a\r\n  ```\r\n",
        "```optio-script\nsay to the end",
        "```sh\nsay a\n```",
        "optio-script\nsay a",
    ];
    let table: Vec<_> = rows
        .iter()
        .map(|prompt| format!("{prompt:?}\n  {:?}", find(prompt)))
        .collect();
    assert_snapshot!(table.join("\n"), @r#"
        "Fix it.\n\n```optio-script\nsay a\n```\nThanks\n```optio-script\nsay b\n```"
          Some("say a\n")
        "```` optio-script\nedit a.md <<END\n```\ncode\n```\nEND\n````"
          Some("edit a.md <<END\n```\ncode\n```\nEND\n")
        "  ```optio-script\r\nsay a\r\n  ```\r\n"
          Some("say a\n")
        "```optio-script\nsay to the end"
          Some("say to the end\n")
        "```sh\nsay a\n```"
          None
        "optio-script\nsay a"
          None
        "#);
}
