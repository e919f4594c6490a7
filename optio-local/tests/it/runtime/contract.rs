//! The contract of a runtime, with both ways of holding processes together.

use optio_core::conformance::runtime::RuntimeUnderTest;
use optio_local::runtime::Containment;

use super::open;

async fn runtime(containment: Containment) -> RuntimeUnderTest {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), containment).await;
    let again = open(folder.path(), containment).await;
    RuntimeUnderTest::new(first, again).keeping(folder)
}

mod by_itself {
    use super::{Containment, runtime};

    optio_core::runtime_conformance!(runtime(Containment::Auto).await);
}

mod by_marker {
    use super::{Containment, runtime};

    optio_core::runtime_conformance!(runtime(Containment::Marker).await);
}
