//! The embedded backends against real files, processes and git.

#[cfg(test)]
mod runtime;
mod store;
#[cfg(test)]
mod forge_contract;
#[cfg(test)]
mod forge;
