//! The scripts, each with the shared state in front of it. The server keeps them by their hash; they are sent again when
//! it has forgotten them.

use std::sync::LazyLock;

use optio_core::queue::QueueLimits;
use redis::Script;

/// Each script stands in the file of its name beside this one.
macro_rules! scripts {
    ($($name:ident = $file:literal)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| script(include_str!($file)));)+
    };
}

scripts! {
    ADOPT = "adopt.lua"
    BATCH = "batch.lua"
    CLAIMED = "claimed.lua"
    LIMIT = "limit.lua"
    LOOK = "look.lua"
    MISSING = "missing.lua"
    POSITION = "position.lua"
    REMOVE = "remove.lua"
    REPRIORITISE = "reprioritise.lua"
    WAITING = "waiting.lua"
}

fn script(body: &str) -> Script {
    let QueueLimits {
        global, per_repo, ..
    } = QueueLimits::default();
    let state = include_str!("state.lua");
    Script::new(&format!(
        "local DEFAULT_GLOBAL, DEFAULT_PER_REPO = {global}, {per_repo}\n{state}\n{body}"
    ))
}
