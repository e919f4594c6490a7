//! From bytes to log entries: lines at any chunk boundary, masked, translated by the agent's adapter, numbered and
//! gathered into batches. Pure: what is read from and where it is stored is somebody else's.

mod batch;
mod lines;
mod translate;

pub use self::lines::{LineSplitter, MAX_LINE};
pub(crate) use self::{
    batch::Batch,
    translate::{Translated, Translator},
};
