//! The agents as their users meet them: real processes, and what real processes have printed.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod efforts;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod room;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod scripted_adapter;
