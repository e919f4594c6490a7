//! Accounts: with whose credentials an agent works, and when nobody may because its provider refuses them.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{clock::Timestamp, failure::Failure, id::RunId, secret::Secret};

/// How many bytes of a credential's hash tell it from others: enough for that, and nothing to find it out by.
const FINGERPRINT_BYTES: usize = 4;

/// An account at a model provider, as far as one can be told from another without showing a secret: the agent, the
/// kind of its credentials and their fingerprint, such as `claude-code:api-key:3f9a21c0`. Other credentials are
/// another account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountName(String);

impl AccountName {
    /// The account behind a credential.
    #[must_use]
    pub fn of(agent: &str, kind: &str, credential: &Secret) -> Self {
        let hash = Sha256::digest(format!(
            "optio account {agent} {kind} {}",
            credential.expose()
        ));
        let digits: String = hash
            .iter()
            .take(FINGERPRINT_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self(format!("{agent}:{kind}:{digits}"))
    }

    /// An account of which only this much is known: its credentials lie where Optio does not look.
    #[must_use]
    pub fn unseen(agent: &str, kind: &str) -> Self {
        Self(format!("{agent}:{kind}"))
    }

    /// An account by its name, as people write it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same as a key of a fixed size, for stores.
    #[must_use]
    pub fn key(&self) -> Uuid {
        let hash = Sha256::digest(self.0.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account that no run may use for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// The account.
    pub account: AccountName,
    /// What ends it.
    pub until: PauseEnd,
    /// When it began.
    pub since: Timestamp,
    /// What the run that found out failed from.
    pub reason: Failure,
    /// The run that found out.
    pub run: RunId,
}

/// What ends a pause. Of two the greater one ends later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseEnd {
    /// Time: the limit resets at this moment.
    At(Timestamp),
    /// A person, who says that it can go on. With other credentials it is another account, which is not paused.
    Resumed,
}

impl PauseEnd {
    /// The moment, if time ends it.
    #[must_use]
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Resumed => None,
        }
    }

    /// A number that grows with it, for stores: microseconds since 1970, or the largest there is.
    #[must_use]
    pub fn order(self) -> i64 {
        self.at().map_or(i64::MAX, Timestamp::as_microsecond)
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account, reason, ..
        } = self;
        match self.until {
            PauseEnd::At(at) => write!(f, "the account {account} is paused until {at}: {reason}"),
            PauseEnd::Resumed => write!(
                f,
                "the account {account} is paused until it gets other credentials or `optio account resume {account}`: {reason}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_name_tells_credentials_apart_and_shows_none() {
        let name = |agent, kind, secret: &str| {
            AccountName::of(agent, kind, &Secret::new(secret)).to_string()
        };
        assert_snapshot!(name("claude-code", "api-key", "sk-ant-1234567890"), @"claude-code:api-key:315505a1");
        let names = [
            name("claude-code", "api-key", "one"),
            name("claude-code", "api-key", "two"),
            name("claude-code", "oauth", "one"),
            name("codex", "api-key", "one"),
        ];
        let prints = names.iter().filter_map(|name| name.rsplit(':').next());
        let different: std::collections::BTreeSet<_> = prints.collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(name("codex", "api-key", "one"), names[3], "it is stable");
        assert_snapshot!(AccountName::unseen("codex", "workspace"), @"codex:workspace");
    }

    #[test]
    fn without_an_end_is_later_than_any_moment() {
        let early = PauseEnd::At(Timestamp::UNIX_EPOCH);
        let ends = [early, PauseEnd::At(Timestamp::MAX), PauseEnd::Resumed];
        assert!(ends.is_sorted() && ends.map(PauseEnd::order).is_sorted());
        for end in ends {
            let text = serde_json::to_string(&end).unwrap();
            assert_eq!(serde_json::from_str::<PauseEnd>(&text).unwrap(), end);
        }
    }
}
