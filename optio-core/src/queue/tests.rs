//! What the queue's values look like where they are stored and shown.

use insta::assert_snapshot;

use super::*;
use crate::conformance::sample::{at, job, repo_id, worker};

#[test]
fn a_waiting_entry_is_stored_by_these_names() {
    let waiting = Waiting {
        job: Job {
            not_before: Some(at(60)),
            ..job(1, 2)
        },
        why: WaitReason::NotBefore { until: at(60) },
    };
    let text = serde_json::to_string(&waiting).unwrap();
    assert_eq!(serde_json::from_str::<Waiting>(&text).unwrap(), waiting);
    assert_snapshot!(text, @r#"{"job":{"task":"task_01j0000001e008000000000001","repo":"repo_01j0000002e008000000000002","priority":100,"since":"2025-01-01T00:00:01.123456Z","notBefore":"2025-01-01T00:01:00.123456Z"},"why":{"reason":"not_before","until":"2025-01-01T00:01:00.123456Z"}}"#);
}

#[test]
fn limits_name_the_repositories_that_have_their_own() {
    let limits = QueueLimits {
        repos: BTreeMap::from([(repo_id(1), 7)]),
        ..QueueLimits::default()
    };
    assert_eq!((limits.of(repo_id(1)), limits.of(repo_id(2))), (7, 2));
    let text = serde_json::to_string(&limits).unwrap();
    assert_eq!(serde_json::from_str::<QueueLimits>(&text).unwrap(), limits);
    assert_snapshot!(text, @r#"{"global":5,"perRepo":2,"repos":{"repo_01j0000001e008000000000001":7}}"#);
}

#[test]
fn a_claim_tells_what_it_is_about() {
    let claim = Claim::new(job(1, 2), worker("a"), 3);
    assert_eq!(
        (claim.job(), claim.worker(), claim.token()),
        (&job(1, 2), &worker("a"), 3)
    );
}
