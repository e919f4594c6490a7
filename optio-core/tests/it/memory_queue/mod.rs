//! The queue in memory: its contract, on paused and on real time; and that it keeps it whatever comes in whatever order.

mod model;

use std::sync::Arc;

use optio_core::{
    SystemClock,
    conformance::Subject,
    memory::{MemoryQueue, TokioClock},
    queue::Queue,
};

fn paused() -> Subject<dyn Queue> {
    let clock = Arc::new(TokioClock::new());
    Subject::queue(MemoryQueue::new(Arc::clone(&clock) as _)).with_clock(clock)
}

optio_core::queue_conformance!(
    #[tokio::test(start_paused = true)]
    paused()
);

mod on_real_time {
    use super::*;

    optio_core::queue_conformance!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        MemoryQueue::new(Arc::new(SystemClock))
    );
}
