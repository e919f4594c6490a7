//! What programs say on their error output in every run, whatever happens: never the reason of a failure.

/// The error output without the lines that begin like one of these.
pub(crate) fn without<S: AsRef<str>>(hum: &[S], stderr: &str) -> String {
    let is_hum = |line: &&str| hum.iter().any(|hum| line.starts_with(hum.as_ref()));
    let told = stderr.lines().filter(|line| !is_hum(line));
    told.collect::<Vec<_>>().join("\n")
}
