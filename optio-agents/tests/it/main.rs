//! The agents as their users meet them: real processes, real output.

#[cfg(test)]
mod room;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod scripted_adapter;
