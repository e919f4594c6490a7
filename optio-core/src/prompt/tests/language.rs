//! The language, row by row.

use insta::assert_snapshot;

use super::*;

#[test]
fn text_comes_out_by_the_rules_of_the_language() {
    let values = PromptValues::default()
        .with(Variable::TaskTitle, "Fix <it>\n")
        .with(Variable::TaskBody, "false")
        .with(Variable::TicketUrl, "0")
        .with(Variable::BaseBranch, "")
        .with(Variable::RepoName, "{{TASK_TITLE}}{{/if}}");
    let rows = [
        // values
        ("", ""),
        ("a { b } c }} d", "a { b } c }} d"),
        ("[{{TASK_TITLE}}]", "[Fix <it>\n]"),
        ("[{{ TASK_TITLE\t}}]", "[Fix <it>\n]"),
        ("[{{TASK_BODY}}{{TICKET_URL}}]", "[false0]"),
        ("[{{BASE_BRANCH}}{{TASK_FILE}}]", "[]"),
        ("{{REPO_NAME}}", "{{TASK_TITLE}}{{/if}}"),
        // conditions
        ("{{#if TASK_TITLE}}yes{{else}}no{{/if}}", "yes"),
        ("{{#if TASK_BODY}}yes{{else}}no{{/if}}", "no"),
        ("{{#if TICKET_URL}}yes{{else}}no{{/if}}", "no"),
        ("{{#if BASE_BRANCH}}yes{{else}}no{{/if}}", "no"),
        ("{{#if TASK_FILE}}yes{{else}}no{{/if}}", "no"),
        ("a{{#if TASK_FILE}}yes{{/if}}z", "az"),
        ("a{{ #if  TASK_TITLE }}{{ else }}no{{ /if }}z", "az"),
        (
            "a{{#if TASK_TITLE}}{{/if}}{{#if TASK_BODY}}{{else}}{{/if}}z",
            "az",
        ),
        (
            "{{#if TASK_TITLE}}1{{#if TASK_BODY}}2{{else}}3{{/if}}4{{else}}5{{/if}}6",
            "1346",
        ),
        (
            "{{#if TASK_BODY}}1{{#if TASK_TITLE}}2{{else}}3{{/if}}{{else}}{{#if REPO_NAME}}4{{/if}}5{{/if}}6",
            "456",
        ),
        ("{{#if TASK_TITLE}}\n  x\n{{/if}}\n", "\n  x\n\n"),
        // literal braces
        ("{{{{TASK_BODY}}", "{{TASK_BODY}}"),
        ("{{{TASK_BODY}}}", "{false}"),
        ("{{{{{", "{{{"),
        ("{{{{{{TASK_BODY}}", "{{false"),
        ("{{{{{{{TASK_BODY}}}", "{{{false}"),
        ("{{{{{{{{", "{{{{"),
        ("${{{{ matrix.os }}", "${{ matrix.os }}"),
    ];
    for (template, text) in rows {
        assert_eq!(coding(template, &values), text, "{template:?}");
    }
}

#[test]
fn a_mistake_is_named_with_its_place_and_the_way_out() {
    let templates = [
        "{{",
        "fine\n  é{{TASK_TITLE\n}}",
        "{{TASK_TITLE {{TASK_BODY}}",
        "{{}}",
        "{{task_title}}",
        "{{ task-titel }}",
        "${{ secrets.TOKEN }}",
        "{{9LIVES}}",
        "{{TÄSK}}",
        "{{#if}}x{{/if}}",
        "{{#if TASK_BODY TASK_TITLE}}x{{/if}}",
        "{{#each TASK_BODY}}x{{/each}}",
        "{{#if TASK_BODY}}x{{else if TASK_TITLE}}y{{/if}}",
        "{{#ifTASK_BODY}}x{{/if}}",
        "{{! a comment}}",
        "a\nb{{else}}",
        "{{#if TASK_BODY}}a{{/if}}\n{{/if}}",
        "{{#if TASK_BODY}}a{{else}}b{{else}}c{{/if}}",
        "{{#if TASK_BODY}}a{{#if TASK_TITLE}}b{{/if}}",
        "{{#if TASK_BODY}}\n{{#if TASK_TITLE}}b{{else}}c",
        "line\r\nline {{TSK_TITLE}}",
        "{{BRANCH}}",
        "{{#if TASK_TITLE}}{{else}}{{TASK_NAME}}{{/if}}",
        "{{WHATEVER}}",
        "{{#if CI_FAILURES}}x{{/if}}",
        "{{PR_NUMBER}}",
        "{{AN_ENDLESS_NAME_AN_ENDLESS_NAME_AN_ENDLESS_NAME_AN_ENDLESS_NAME}}",
    ];
    let report: Vec<String> = templates
        .iter()
        .map(|template| {
            format!(
                "{template:?}\n    {}",
                coding(template, &PromptValues::default())
            )
        })
        .collect();
    assert_snapshot!(report.join("\n"), @r##"
"{{"
    error: line 1, column 1: this {{ is not closed by }} on its line (a literal {{ is written {{{{)
"fine\n  é{{TASK_TITLE\n}}"
    error: line 2, column 4: this {{ is not closed by }} on its line (a literal {{ is written {{{{)
"{{TASK_TITLE {{TASK_BODY}}"
    error: line 1, column 1: this {{ is not closed by }} on its line (a literal {{ is written {{{{)
"{{}}"
    error: line 1, column 1: "" is not a variable name (names are of A-Z, 0-9 and _; a literal {{ is written {{{{)
"{{task_title}}"
    error: line 1, column 1: "task_title" is not a variable name, did you mean TASK_TITLE or TASK_FILE?
"{{ task-titel }}"
    error: line 1, column 1: "task-titel" is not a variable name, did you mean TASK_TITLE?
"${{ secrets.TOKEN }}"
    error: line 1, column 2: "secrets.TOKEN" is not a variable name (names are of A-Z, 0-9 and _; a literal {{ is written {{{{)
"{{9LIVES}}"
    error: line 1, column 1: "9LIVES" is not a variable name (names are of A-Z, 0-9 and _; a literal {{ is written {{{{)
"{{TÄSK}}"
    error: line 1, column 1: "TÄSK" is not a variable name (names are of A-Z, 0-9 and _; a literal {{ is written {{{{)
"{{#if}}x{{/if}}"
    error: line 1, column 1: "" is not a variable name (names are of A-Z, 0-9 and _; a literal {{ is written {{{{)
"{{#if TASK_BODY TASK_TITLE}}x{{/if}}"
    error: line 1, column 1: "TASK_BODY TASK_TITLE" is not a variable name, did you mean TASK_TITLE or TASK_BODY?
"{{#each TASK_BODY}}x{{/each}}"
    error: line 1, column 1: "#each TASK_BODY" is not a tag: there are {{NAME}}, {{#if NAME}}, {{else}} and {{/if}}
"{{#if TASK_BODY}}x{{else if TASK_TITLE}}y{{/if}}"
    error: line 1, column 19: "else if TASK_TITLE" is not a tag: there are {{NAME}}, {{#if NAME}}, {{else}} and {{/if}}
"{{#ifTASK_BODY}}x{{/if}}"
    error: line 1, column 1: "#ifTASK_BODY" is not a tag: there are {{NAME}}, {{#if NAME}}, {{else}} and {{/if}}
"{{! a comment}}"
    error: line 1, column 1: "! a comment" is not a variable name (names are of A-Z, 0-9 and _; a literal {{ is written {{{{)
"a\nb{{else}}"
    error: line 2, column 2: {{else}} without an {{#if}}
"{{#if TASK_BODY}}a{{/if}}\n{{/if}}"
    error: line 2, column 1: {{/if}} without an {{#if}}
"{{#if TASK_BODY}}a{{else}}b{{else}}c{{/if}}"
    error: line 1, column 28: a second {{else}} for the {{#if}} of line 1, column 1
"{{#if TASK_BODY}}a{{#if TASK_TITLE}}b{{/if}}"
    error: line 1, column 1: {{#if TASK_BODY}} is not closed by {{/if}}
"{{#if TASK_BODY}}\n{{#if TASK_TITLE}}b{{else}}c"
    error: line 2, column 1: {{#if TASK_TITLE}} is not closed by {{/if}}
"line\r\nline {{TSK_TITLE}}"
    error: line 2, column 6: unknown variable TSK_TITLE in a coding prompt, did you mean TASK_TITLE?
"{{BRANCH}}"
    error: line 1, column 1: unknown variable BRANCH in a coding prompt, did you mean BRANCH_NAME or BASE_BRANCH?
"{{#if TASK_TITLE}}{{else}}{{TASK_NAME}}{{/if}}"
    error: line 1, column 27: unknown variable TASK_NAME in a coding prompt (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
"{{WHATEVER}}"
    error: line 1, column 1: unknown variable WHATEVER in a coding prompt (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
"{{#if CI_FAILURES}}x{{/if}}"
    error: line 1, column 1: a coding prompt has no CI_FAILURES, which is for ci_fix (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
"{{PR_NUMBER}}"
    error: line 1, column 1: a coding prompt has no PR_NUMBER, which is for ci_fix, review_fix, conflict, review (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
"{{AN_ENDLESS_NAME_AN_ENDLESS_NAME_AN_ENDLESS_NAME_AN_ENDLESS_NAME}}"
    error: line 1, column 1: unknown variable AN_ENDLESS_NAME_AN_ENDLESS_NAME_AN_ENDLE... in a coding prompt (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
"##);
}

#[test]
fn deep_nesting_overflows_no_stack() {
    let deep = 100_000;
    let template = format!(
        "{}x{}",
        "{{#if TASK_BODY}}".repeat(deep),
        "{{/if}}".repeat(deep)
    );
    assert_eq!(
        coding(
            &template,
            &PromptValues::default().with(Variable::TaskBody, "1")
        ),
        "x"
    );
    assert_eq!(coding(&template, &PromptValues::default()), "");
}
