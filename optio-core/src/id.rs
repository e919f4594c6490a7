//! Newtype ids: a prefix that says what is meant, and a UUIDv7 that sorts by age.
//!
//! Written as `task_01jd3v6t8xf0a9k2m4p6r8s0tv`: the prefix, an underscore and the 128 bits in Crockford's base 32
//! (26 characters, lower case), the form known as TypeID. Text order is creation order.

use std::fmt;

use thiserror::Error;
use uuid::Uuid;

use crate::clock::Clock;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LEN: usize = 26;

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a {prefix} id: expected {prefix}_ and 26 characters of 0-9 and a-z without i, l, o, u"
)]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

impl ParseIdError {
    fn new(text: &str, prefix: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            prefix,
        }
    }
}

fn fresh(clock: &dyn Clock) -> Uuid {
    let millis = u64::try_from(clock.now().as_millisecond()).unwrap_or(0);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&clock.random().to_le_bytes());
    random[8..].copy_from_slice(&clock.random().to_le_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Ids are written much more often than anything else, so their digits go out together.
fn encode(uuid: Uuid, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut bits = uuid.as_u128();
    let mut digits = [0; SUFFIX_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    out.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != SUFFIX_LEN || text.as_bytes()[0] > b'7' {
        return None; // 26 digits hold 130 bits: the first may use only three of its five
    }
    let mut bits = 0_u128;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        bits = (bits << 5) | digit as u128;
    }
    Some(Uuid::from_u128(bits))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id, at the clock's time.
            #[must_use]
            pub fn generate(clock: &dyn Clock) -> Self {
                Self(fresh(clock))
            }

            /// The id with this UUID inside.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// The last eight characters: enough to tell neighbours apart in a branch or folder name, never a key.
            #[must_use]
            pub fn short(&self) -> String {
                let text = self.to_string();
                text[text.len() - 8..].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                encode(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| ParseIdError::new(text, $prefix))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/// A task: what the user wants done.
    TaskId, "task");
id!(/// A run: one attempt of an agent at a task.
    RunId, "run");
id!(/// A repository that Optio works on.
    RepoId, "repo");
id!(/// A workspace: a pod, or a folder on this machine, that holds one clone of a repository.
    WorkspaceId, "ws");
id!(/// An entry of the outbox.
    OutboxId, "out");
id!(/// A schedule that makes tasks by the clock.
    ScheduleId, "sched");
id!(/// A subscription to outgoing webhooks.
    WebhookId, "hook");

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn id() -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(0x0190_5a3b_7c4d_7e5f_8a6b_9c7d_ae8f_b091))
    }

    #[test]
    fn an_id_is_written_with_its_prefix_and_read_back() {
        assert_snapshot!(id(), @"task_01j1d3pz2dfsfrmtwwfpq8zc4h");
        assert_eq!(id().to_string().parse::<TaskId>(), Ok(id()));
        assert_eq!(
            serde_json::from_str::<TaskId>(&serde_json::to_string(&id()).unwrap()).unwrap(),
            id()
        );
    }

    #[test]
    fn text_of_another_kind_is_refused_with_the_expected_form() {
        assert_snapshot!("run_01j1d3pz2dfsfrmtwwfpq8zc4h".parse::<TaskId>().unwrap_err(),
            @r#""run_01j1d3pz2dfsfrmtwwfpq8zc4h" is not a task id: expected task_ and 26 characters of 0-9 and a-z without i, l, o, u"#);
        for text in [
            "",
            "task_",
            "task_81j1d3pz2dfsfrmtwwfpq8zc4h",
            "task_01J1D3PZ2DFSFRMTWWFPQ8ZC4H",
            "task_é1j1d3pz2dfsfrmtwwfpq8zc4",
        ] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }
}
