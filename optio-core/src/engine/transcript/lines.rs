//! Bytes in, at any boundary; complete lines out.

/// The longest line that is kept whole, in bytes.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// Splits a stream into lines, with bounded memory and a position to go on from after a crash.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    /// The beginning of a line whose end has not come yet; at most [`MAX_LINE`] bytes of it.
    open: Vec<u8>,
    /// How many bytes of that line were not kept.
    dropped: u64,
    /// Right behind the last complete line.
    consumed: u64,
    /// Right behind the last byte.
    seen: u64,
}

impl LineSplitter {
    /// Splits a stream from this offset on, which is the start of a line.
    pub(crate) fn new(offset: u64) -> Self {
        Self { open: Vec::new(), dropped: 0, consumed: offset, seen: offset }
    }

    /// More of the stream: the lines that are complete with it, without their ends.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.keep(&rest[..end]);
            self.seen += end as u64 + 1;
            self.consumed = self.seen;
            lines.push(self.take());
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        self.seen += rest.len() as u64;
        lines
    }

    /// The stream has ended: its last line, if that has no end of its own.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.consumed = self.seen;
        (!self.open.is_empty()).then(|| self.take())
    }

    /// The offset right behind the last line that was given out: reading can go on there.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE - self.open.len();
        let kept = bytes.len().min(room);
        self.open.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
    }

    fn take(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.open);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped == 0 && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let mut line = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if dropped > 0 {
            line.push_str(&format!(" …[truncated, {dropped} bytes]"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::new(0);
        let mut lines: Vec<String> = chunks.iter().flat_map(|chunk| splitter.push(chunk)).collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn rows() {
        assert_eq!(split(&[b"one\ntw", b"o\r\n\nlast"]), ["one", "two", "", "last"]);
        assert_eq!(split(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
        assert_eq!(split(&[b"caf\xc3", b"\xa9\n"]), ["café"]);
        assert_eq!(split(&[b""]), Vec::<String>::new());
    }

    #[test]
    fn a_monster_line_is_cut_with_a_marker_and_costs_bounded_memory() {
        let mut splitter = LineSplitter::new(0);
        for _ in 0..40 {
            assert!(splitter.push(&[b'x'; 64 * 1024]).is_empty());
            assert!(splitter.open.capacity() <= 2 * MAX_LINE);
            assert_eq!(splitter.consumed(), 0);
        }
        let lines = splitter.push(b"\nnext\n");
        assert_eq!(lines[0].len(), MAX_LINE + " …[truncated, 1572864 bytes]".len());
        assert!(lines[0].ends_with(" …[truncated, 1572864 bytes]"));
        assert_eq!(lines[1], "next");
        assert_eq!(splitter.consumed(), 40 * 64 * 1024 + 6);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..300), cuts in proptest::collection::vec(0_usize..300, 0..10)) {
            let whole = split(&[&bytes]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&chunks), whole);
        }

        #[test]
        fn reading_goes_on_exactly_where_it_was(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), crash in 0_usize..300) {
            let crash = crash.min(bytes.len());
            let mut before = LineSplitter::new(0);
            let mut lines = before.push(&bytes[..crash]);
            let consumed = before.consumed();
            // everything else that the first one knew is lost
            let mut after = LineSplitter::new(consumed);
            lines.extend(after.push(&bytes[usize::try_from(consumed).unwrap()..]));
            lines.extend(after.finish());
            prop_assert_eq!(lines, split(&[&bytes]));
            prop_assert_eq!(after.consumed(), bytes.len() as u64);
        }
    }
}
