//! Streams that no program has written: any bytes, in any pieces, from a line of a real stream to noise. The fuzz target
//! `streams` does the same without end.

use optio_core::engine::LineSplitter;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{every_agent, recordings};

/// So short that pieces of lines reach it.
const LIMIT: usize = 4096;

/// Something of a stream: noise, line ends, or a part of a real line.
fn piece(real: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let part =
        (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(move |(line, from, to)| {
            let line = line.get(&real).as_bytes();
            let (from, to) = (from.index(line.len() + 1), to.index(line.len() + 1));
            line[from.min(to)..from.max(to)].to_vec()
        });
    prop_oneof![
        3 => vec(any::<u8>(), 0..40),
        2 => prop::sample::select(vec!["\n", "\r\n", "\n\n", "{", "}\n", "\u{0}", "\"type\":"])
            .prop_map(|text| text.as_bytes().to_vec()),
        5 => part,
    ]
}

/// The first lines of all recordings.
fn real_lines() -> Vec<String> {
    let all = every_agent().iter().flat_map(|(name, _)| recordings(name));
    let lines = all.flat_map(|recording| {
        let lines = recording.stdout.lines().take(5);
        lines.map(str::to_owned).collect::<Vec<_>>()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

/// The lines of a stream that comes in these pieces.
fn split(pieces: &[Vec<u8>]) -> Result<Vec<String>, TestCaseError> {
    let mut splitter = LineSplitter::with_limit(0, LIMIT);
    let mut lines = Vec::new();
    for piece in pieces {
        lines.extend(splitter.push(piece));
        prop_assert!(splitter.waiting() <= LIMIT);
    }
    lines.extend(splitter.finish());
    let all: usize = pieces.iter().map(Vec::len).sum();
    prop_assert_eq!(splitter.consumed(), all as u64, "every byte is read");
    Ok(lines)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_is_lost_wherever_it_is_cut_and_whoever_reads_it(
        pieces in vec(piece(real_lines()), 0..40),
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let lines = split(&pieces)?;
        // cut anywhere else it gives the same lines
        let whole = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let otherwise: Vec<Vec<u8>> = cuts.windows(2).map(|cut| whole[cut[0]..cut[1]].to_vec()).collect();
        prop_assert_eq!(&lines, &split(&otherwise)?);
        // none is missing: as many as there are line ends, and one that has none
        let ends = whole.iter().filter(|byte| **byte == b'\n').count();
        let open = whole.last().is_some_and(|byte| *byte != b'\n');
        prop_assert_eq!(lines.len(), ends + usize::from(open));
        for line in &lines {
            prop_assert!(line.len() <= LIMIT * 3 + 64, "what is no UTF-8 grows to three bytes at most");
            for (name, agent) in every_agent() {
                prop_assert!(!agent.read_line(line).is_empty(), "{name} lost {line:?}");
            }
        }
    }
}
