//! What holds for any text.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Text that is likely to hit the parser's edges.
fn brace_soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("{{#if TASK_BODY}}".to_owned()),
        Just("{{else}}".to_owned()),
        Just("{{/if}}".to_owned()),
        Just("{{TASK_BODY}}".to_owned()),
        Just("{{TASK_TITLE}}".to_owned()),
        Just("{{X}}".to_owned()),
        Just("\n".to_owned()),
        any::<char>().prop_map(String::from),
        ".{0,6}",
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_comes_out_verbatim(body in brace_soup(), title in brace_soup()) {
        let values = PromptValues::default().with(Variable::TaskBody, &*body).with(Variable::TaskTitle, &*title);
        let text = coding("<{{TASK_BODY}}|{{#if TASK_FILE}}{{else}}{{TASK_TITLE}}{{/if}}>", &values);
        prop_assert_eq!(text, format!("<{body}|{title}>"));
    }

    #[test]
    fn any_text_parses_or_is_refused_at_a_place_within_it(text in brace_soup()) {
        match Template::parse(&text) {
            Ok(template) => {
                let _ = template.render(PromptKind::Coding, &PromptValues::default());
            }
            Err(error) => {
                let at = error.at();
                let line = text.split('\n').nth(at.line - 1).unwrap();
                prop_assert!(line.chars().skip(at.column - 1).collect::<String>().starts_with("{{"), "{error}");
            }
        }
    }

    #[test]
    fn text_without_double_braces_is_its_own_template(text in brace_soup()) {
        let text = text.replace("{{", "{ ");
        prop_assert_eq!(coding(&text, &PromptValues::default()), text);
    }

    #[test]
    fn escaped_text_comes_out_as_it_was_also_before_a_tag(text in brace_soup()) {
        let template = format!("{}{{{{TASK_TITLE}}}}", Template::escape(&text));
        let values = PromptValues::default().with(Variable::TaskTitle, "!");
        prop_assert_eq!(coding(&template, &values), format!("{text}!"));
    }

    #[test]
    fn a_condition_takes_the_branch_that_its_value_says(value in prop_oneof!["", "0", "false", ".{0,3}"]) {
        let taken = !["", "0", "false"].contains(&&*value);
        let values = PromptValues::default().with(Variable::TaskBody, &*value);
        prop_assert_eq!(coding("{{#if TASK_BODY}}yes{{else}}no{{/if}}", &values), if taken { "yes" } else { "no" });
    }
}
