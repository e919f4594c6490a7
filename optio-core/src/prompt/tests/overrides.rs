//! Saving, resolving and reading overrides; the names in every interface.

use insta::assert_snapshot;

use super::*;

#[test]
fn a_mistake_is_found_at_save_and_at_render_alike() {
    let mut saved = PromptOverrides::default();
    let refused = saved
        .set(PromptKind::Coding, "{{CI_FAILURES}}")
        .unwrap_err();
    assert_eq!(saved, PromptOverrides::default(), "nothing is changed");

    let stored: PromptOverrides = serde_json::from_str(r#"{"coding": "{{CI_FAILURES}}"}"#).unwrap();
    assert_eq!(stored.check(), Err(refused.clone()));
    let none = PromptOverrides::default();
    let broken = render(PromptKind::Coding, &none, &stored, &PromptValues::default()).unwrap_err();
    assert_snapshot!(format!("{refused}\n{broken}"), @"
coding prompt: line 1, column 1: a coding prompt has no CI_FAILURES, which is for ci_fix (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
the global coding prompt: line 1, column 1: a coding prompt has no CI_FAILURES, which is for ci_fix (known are TASK_ID, TASK_TITLE, TASK_BODY, TASK_FILE, TICKET_URL, REPO_NAME, BRANCH_NAME, BASE_BRANCH, HEAD_COMMIT, CHECK_COMMAND, PREVIOUS_ATTEMPT)
");
}

#[test]
fn the_nearest_override_wins_and_a_blank_one_overrides_nothing() {
    let all = |text: &str| -> PromptOverrides {
        serde_json::from_value(serde_json::json!({ "review": text, "ciFix": "c" })).unwrap()
    };
    let none = PromptOverrides::default();
    let built_in = PromptKind::Review.built_in();
    let rows = [
        (all("repo"), all("global"), (Origin::Repository, "repo")),
        (none.clone(), all("global"), (Origin::Global, "global")),
        (all(" \n"), all("global"), (Origin::Global, "global")),
        (all(""), all("\t"), (Origin::BuiltIn, built_in)),
        (none.clone(), none, (Origin::BuiltIn, built_in)),
    ];
    for (repo, global, expected) in rows {
        assert_eq!(resolve(PromptKind::Review, &repo, &global), expected);
    }
}

#[test]
fn an_override_is_put_and_taken_away() {
    let mut overrides = PromptOverrides::default();
    overrides
        .set(PromptKind::CiFix, "Fix {{CI_FAILURES}}")
        .unwrap();
    overrides.set(PromptKind::Review, "Judge").unwrap();
    let json = serde_json::to_string(&overrides).unwrap();
    assert_snapshot!(json, @r#"{"ci_fix":"Fix {{CI_FAILURES}}","review":"Judge"}"#);
    assert_eq!(
        serde_json::from_str::<PromptOverrides>(&json).unwrap(),
        overrides
    );

    overrides.set(PromptKind::CiFix, "  ").unwrap();
    assert_eq!(
        overrides.iter().collect::<Vec<_>>(),
        [(PromptKind::Review, "Judge")]
    );
    let unknown = serde_json::from_str::<PromptOverrides>(r#"{"codding": "x"}"#).unwrap_err();
    assert_snapshot!(unknown, @r#""codding" is not a kind of prompt: expected coding, ci_fix, review_fix, conflict or review at line 1 column 10"#);
}

#[test]
fn a_prompt_that_comes_out_blank_is_refused() {
    let mut repo = PromptOverrides::default();
    repo.set(
        PromptKind::Coding,
        "{{#if TASK_BODY}}{{TASK_BODY}}{{/if}}\n",
    )
    .unwrap();
    let blank = render(
        PromptKind::Coding,
        &repo,
        &PromptOverrides::default(),
        &PromptValues::default(),
    )
    .unwrap_err();
    assert_snapshot!(blank, @"the repository coding prompt comes out blank for this task");
}

#[test]
fn kinds_and_variables_are_written_and_read_back() {
    for kind in PromptKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{kind}\""));
        assert_eq!(serde_json::from_str::<PromptKind>(&json).unwrap(), kind);
    }
    for &variable in Variable::ALL {
        assert_eq!(variable.to_string().parse(), Ok(variable));
        let template = format!("{{{{{variable}}}}}");
        assert!(
            Template::parse(&template).is_ok(),
            "{template} is a name of the language"
        );
    }
    assert_snapshot!("ci-fix".parse::<PromptKind>().unwrap_err(), @r#""ci-fix" is not a kind of prompt: expected coding, ci_fix, review_fix, conflict or review"#);
}

#[test]
fn each_prompt_has_its_own_variables() {
    let table: Vec<String> = Variable::ALL
        .iter()
        .map(|variable| {
            let kinds: Vec<&str> = variable.kinds().iter().map(|kind| kind.name()).collect();
            format!("{variable:16} {}", kinds.join(" "))
        })
        .collect();
    assert_snapshot!(table.join("\n"), @"
TASK_ID          coding ci_fix review_fix conflict review
TASK_TITLE       coding ci_fix review_fix conflict review
TASK_BODY        coding ci_fix review_fix conflict review
TASK_FILE        coding ci_fix review_fix conflict review
TICKET_URL       coding ci_fix review_fix conflict review
REPO_NAME        coding ci_fix review_fix conflict review
BRANCH_NAME      coding ci_fix review_fix conflict review
BASE_BRANCH      coding ci_fix review_fix conflict review
HEAD_COMMIT      coding ci_fix review_fix conflict review
CHECK_COMMAND    coding ci_fix review_fix conflict review
PREVIOUS_ATTEMPT coding ci_fix review_fix conflict
PR_NUMBER        ci_fix review_fix conflict review
PR_URL           ci_fix review_fix conflict review
CI_FAILURES      ci_fix
REVIEW_COMMENTS  review_fix review
CONFLICT_FILES   conflict
DIFF_COMMAND     review
VERDICT_FILE     review
");
}
