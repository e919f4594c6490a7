//! The variables that templates may use: one table of name, prompts and meaning.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::kind::PromptKind::{self, CiFix, Coding, Conflict, Review, ReviewFix};

const EVERY: &[PromptKind] = &PromptKind::ALL;
/// The prompts of runs that change code.
const AUTHOR: &[PromptKind] = &[Coding, CiFix, ReviewFix, Conflict];
/// The prompts that come once a pull request is open.
const ON_PR: &[PromptKind] = &[CiFix, ReviewFix, Conflict, Review];

macro_rules! variables {
    ($($variant:ident $name:literal $kinds:expr, $meaning:literal;)*) => {
        /// A variable of a template, written by its [`name`](Self::name).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Variable {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)*
        }

        impl Variable {
            /// Every variable, general ones first.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// How templates write it, without the braces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What its value is, as a phrase for people who write templates.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }

            /// The prompts that have it.
            #[must_use]
            pub const fn kinds(self) -> &'static [PromptKind] {
                match self { $(Self::$variant => $kinds),* }
            }
        }
    };
}

variables! {
    TaskId "TASK_ID" EVERY, "the id of the task";
    TaskTitle "TASK_TITLE" EVERY, "the title of the task, one line";
    TaskBody "TASK_BODY" EVERY, "the description of the task; empty if it has only a title";
    TaskFile "TASK_FILE" EVERY, "the path of a file, outside the worktree, that holds the task's full text";
    TicketUrl "TICKET_URL" EVERY, "the web address of the ticket that the task came from; empty if none";
    RepoName "REPO_NAME" EVERY, "the repository, as owner/name where it has an owner";
    BranchName "BRANCH_NAME" EVERY, "the branch of the task, checked out in the agent's worktree";
    BaseBranch "BASE_BRANCH" EVERY, "the branch that the work is merged into; fetched already, under origin/";
    HeadCommit "HEAD_COMMIT" EVERY, "the commit at which the branch stands when the run begins";
    CheckCommand "CHECK_COMMAND" EVERY, "the command by which the repository checks itself; empty if unknown";
    PreviousAttempt "PREVIOUS_ATTEMPT" AUTHOR, "how an earlier run at the same end failed; empty at the first";
    PrNumber "PR_NUMBER" ON_PR, "the number of the pull request";
    PrUrl "PR_URL" ON_PR, "the web address of the pull request; empty if the forge has no web pages";
    CiFailures "CI_FAILURES" &[CiFix], "each failed job with its step, the tail of its log and a link; empty if unknown";
    ReviewComments "REVIEW_COMMENTS" &[ReviewFix, Review],
        "what reviewers wrote, with path and line; in a review: what earlier reviews asked for, empty if nothing";
    ConflictFiles "CONFLICT_FILES" &[Conflict], "the paths in conflict with the base branch, one a line; empty if unknown";
    DiffCommand "DIFF_COMMAND" &[Review], "the command that shows the change under review";
    VerdictFile "VERDICT_FILE" &[Review], "the path of the file that the review agent writes its verdict to, as JSON";
}

/// Text that names no variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a prompt variable")]
pub struct ParseVariableError {
    text: String,
}

impl Variable {
    /// Those of `among` whose names are near to `name`, nearest first, at most three. Case and `-` are forgiven.
    pub(super) fn nearest(name: &str, among: impl Iterator<Item = Self>) -> Vec<Self> {
        const LONGEST: usize = 40; // nothing near a real name is longer, and the distance costs length times length
        if name.is_empty() || name.len() > LONGEST {
            return Vec::new();
        }
        let name = name.to_ascii_uppercase().replace(['-', ' ', '.'], "_");
        let mut near: Vec<(usize, Self)> = among
            .filter_map(|variable| {
                let known = variable.name();
                let distance = edit_distance(&name, known);
                let part = name.len() >= 4 && (known.contains(&name) || name.contains(known));
                (part || distance <= known.len() / 4).then_some((distance, variable))
            })
            .collect();
        near.sort();
        near.into_iter()
            .take(3)
            .map(|(_, variable)| variable)
            .collect()
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Variable {
    type Err = ParseVariableError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|variable| variable.name() == text)
            .ok_or_else(|| ParseVariableError {
                text: text.chars().take(80).collect(),
            })
    }
}

impl Serialize for Variable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Levenshtein's distance: letters to insert, drop or change.
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.chars().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
