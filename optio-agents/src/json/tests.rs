//! Our reading of JSON beside that of serde_json.

use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{Json, Wanted};

fn read(line: &str, wanted: &Wanted) -> Option<Value> {
    wanted.read(line).map(Value::from)
}

#[test]
fn what_nobody_wants_is_read_over() {
    let wanted = Wanted::of(["/type", "/parts/text", "/done", "/ha~1lf~0"]);
    let line = r#"{"parts": [{"text": "a", "of": "b"}, [{"of": "b"}], 7], "type": "c", "type": ["d"],
        "text": "e", "done": {"text": "f"}, "ha/lf~": 8}"#;
    let expected = json!({"parts": [{"text": "a"}, [{}], 7], "type": ["d"],
        "done": {"text": "f"}, "ha/lf~": 8});
    assert_eq!(read(line, &wanted), Some(expected));
    // but it has to be JSON
    assert_eq!(read(r#"{"type": "c", "text": nothing}"#, &wanted), None);
    assert_eq!(
        read(r#"{"type": "c"} "#, &wanted),
        Some(json!({"type": "c"}))
    );
    assert_eq!(read(r#"{"type": "c"} {}"#, &wanted), None);
}

#[test]
fn who_counts_items_wants_them_whole() {
    let wanted = Wanted::of(["/a/0/b", "/c/d", "/c"]);
    let line = r#"{"a": [{"b": 1, "c": 2}], "c": {"d": 3, "e": 4}}"#;
    assert_eq!(read(line, &wanted), serde_json::from_str(line).ok());
}

#[test]
fn of_a_key_that_stands_there_twice_the_last_value_counts() {
    let line = r#"{"a": 1, "b": 2, "\u0061": 3}"#;
    for wanted in [Wanted::Whole, Wanted::of(["/a"])] {
        let mut value = wanted.read(line).unwrap();
        assert_eq!(value["a"].as_u64(), Some(3));
        assert_eq!(value.pointer("/a").and_then(Json::as_u64), Some(3));
        assert_eq!(value.fields().unwrap()["a"].as_u64(), Some(3));
        assert_eq!(value.take("a").as_u64(), Some(3));
        assert!(matches!(value["a"], Json::Null));
    }
}

/// All of a line is what serde_json reads, and a part of it can be read wherever all can.
fn is_read_alike(line: &str) -> Result<(), TestCaseError> {
    let known: Option<Value> = serde_json::from_str(line).ok();
    if known.is_some() {
        prop_assert!(Wanted::of(["/a"]).read(line).is_some(), "{}", line);
    }
    prop_assert_eq!(read(line, &Wanted::Whole), known, "{}", line);
    Ok(())
}

#[test]
fn what_is_read_over_may_be_what_serde_json_refuses() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    for value in [deep.as_str(), "1e999", r#""\ud800""#] {
        let line = format!(r#"{{"type": "a", "b": {value}}}"#);
        assert_eq!(read(&line, &Wanted::Whole), None);
        assert_eq!(
            read(&line, &Wanted::of(["/type"])),
            Some(json!({"type": "a"}))
        );
    }
}

#[test]
fn it_goes_as_deep_as_serde_json() -> Result<(), TestCaseError> {
    for depth in [1, 125, 126, 127, 128, 1_000_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        is_read_alike(&format!("{open}{close}"))?;
        is_read_alike(&format!("{{\"b\": {open}{close}}}"))?;
        is_read_alike(&format!(
            "{}1{}",
            "{\"b\":".repeat(depth),
            "}".repeat(depth)
        ))?;
    }
    Ok(())
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let name = prop_oneof!["[ab01~/\"]{0,2}", any::<String>()];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_of_a_value_is_what_serde_json_reads(value in any_value()) {
        is_read_alike(&value.to_string())?;
        is_read_alike(&serde_json::to_string_pretty(&value).unwrap())?;
    }

    #[test]
    fn so_is_what_has_been_damaged(value in any_value(), at in any::<Index>(), by in "[\\[\\]{}\":,0-9eE.+\\\\ut a-]|\\PC|\\p{Cc}") {
        let mut line = value.to_string();
        let at = line.floor_char_boundary(at.index(line.len() + 1));
        line.insert_str(at, &by);
        is_read_alike(&line)?;
        line.truncate(at);
        is_read_alike(&line)?;
    }

    #[test]
    fn so_is_what_looks_like_json(line in "[\\[\\]{}\":,0-9eE.+\\\\ut a-]{0,12}") {
        is_read_alike(&line)?;
    }

    #[test]
    fn so_are_texts(text in "([a-zé]{0,12}|\\\\[\"\\\\/bfnrtux]|\\\\u[dD][89abcdABCDeE0][0-9a-fA-F]{1,2}|\\\\u00[0-9a-g]{2}|[\u{0}-\u{20}\u{7f}😀]){0,6}") {
        is_read_alike(&format!("\"{text}\""))?;
    }

    #[test]
    fn so_are_numbers(number in "[-+]?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][-+]?[0-9]{0,3})?") {
        is_read_alike(&number)?;
        is_read_alike(&format!("[{number} ]"))?;
    }

    #[test]
    fn a_pointer_leads_where_it_is_wanted(value in any_value(), pointer in "(/[ab01~+]{0,2}){0,3}|[ab]") {
        let line = value.to_string();
        let value: Value = serde_json::from_str(&line).unwrap();
        let known = value.pointer(&pointer);
        for wanted in [Wanted::Whole, Wanted::of([pointer.as_str()])] {
            let found = wanted.read(&line).unwrap();
            let found = found.pointer(&pointer).cloned().map(Value::from);
            prop_assert_eq!(found.as_ref(), known);
        }
    }
}
