//! Bytes in, at any boundary; complete lines out.

/// The longest line that is kept whole, in bytes. Agents put up to a mebibyte of a command's output into one line, which
/// JSON makes up to six times as long. So much is also the most that a stream ever holds in memory.
pub const MAX_LINE: usize = 8 << 20;

/// Splits a stream into lines, with bounded memory and a position to go on from after a crash.
#[derive(Debug)]
pub struct LineSplitter {
    /// The longest line that is kept whole.
    limit: usize,
    /// The beginning of a line whose end has not come yet; at most `limit` bytes of it.
    open: Vec<u8>,
    /// How many bytes of that line were not kept.
    dropped: u64,
    /// Whether the last byte of that line is a carriage return, kept or not.
    returned: bool,
    /// Right behind the last complete line.
    consumed: u64,
    /// Right behind the last byte.
    seen: u64,
}

impl LineSplitter {
    /// Splits a stream from this offset on, which is the start of a line.
    #[must_use]
    pub fn new(offset: u64) -> Self {
        Self::with_limit(offset, MAX_LINE)
    }

    /// The same with another limit than [`MAX_LINE`].
    #[must_use]
    pub fn with_limit(offset: u64, limit: usize) -> Self {
        Self {
            limit,
            open: Vec::new(),
            dropped: 0,
            returned: false,
            consumed: offset,
            seen: offset,
        }
    }

    /// More of the stream: the lines that are complete with it, without their ends. Bytes that are not UTF-8 are
    /// replaced; of a line that is too long the beginning is given, with a mark that says how much is missing.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.keep(&rest[..end]);
            self.seen += 1;
            self.consumed = self.seen;
            lines.push(self.take());
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        lines
    }

    /// The stream has ended: its last line, if that has no end of its own.
    pub fn finish(&mut self) -> Option<String> {
        let line = (self.seen > self.consumed).then(|| self.take());
        self.consumed = self.seen;
        line
    }

    /// The offset right behind the last line that was given out: reading can go on there.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// How many bytes wait for the end of their line: never more than the limit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.limit - self.open.len());
        self.open.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
        self.seen += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.returned = *last == b'\r';
        }
    }

    /// The line that is complete now.
    fn take(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.open);
        let mut dropped = std::mem::take(&mut self.dropped);
        if std::mem::take(&mut self.returned) {
            // it belongs to the line's end
            if dropped > 0 {
                dropped -= 1;
            } else {
                bytes.pop();
            }
        }
        if dropped > 0 {
            // a letter that was cut in two is missing as a whole
            let whole = bytes.len() - cut_letter(&bytes);
            dropped += (bytes.len() - whole) as u64;
            bytes.truncate(whole);
        }
        let mut line = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if dropped > 0 {
            line.push_str(&format!(" …[truncated, {dropped} bytes]"));
        }
        line
    }
}

/// How many bytes at the end are the beginning of a letter whose rest is missing.
fn cut_letter(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(4)..];
    match tail.utf8_chunks().last() {
        // an incomplete sequence is one that more bytes could complete
        Some(chunk)
            if !chunk.invalid().is_empty()
                && std::str::from_utf8(chunk.invalid())
                    .is_err_and(|error| error.error_len().is_none()) =>
        {
            chunk.invalid().len()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a splitter gives of a stream that comes in these chunks, having kept no more than it may.
    fn split(limit: usize, chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::with_limit(0, limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            lines.extend(splitter.push(chunk));
            assert!(splitter.open.len() <= limit);
        }
        lines.extend(splitter.finish());
        let all: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        assert_eq!(splitter.consumed(), all as u64);
        lines
    }

    #[test]
    fn lines_are_put_together() {
        let rows: &[(&[&[u8]], &[&str])] = &[
            (&[b"one\ntw", b"o\r\n\nlast"], &["one", "two", "", "last"]),
            (&[b"two\r", b"\nthree\r\r\n"], &["two", "three\r"]),
            (&[b"\xff\xfe\n"], &["\u{fffd}\u{fffd}"]),
            (&[b"caf\xc3", b"\xa9\n"], &["café"]),
            (&[b"", b""], &[]),
            (&[b"\n"], &[""]),
        ];
        for (chunks, lines) in rows {
            assert_eq!(split(MAX_LINE, chunks), *lines, "{chunks:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_says_how_much_is_missing() {
        let rows: &[(&[u8], &str)] = &[
            (b"12345678\n", "12345678"),
            (b"12345678\r\n", "12345678"),
            (b"123456789\n", "12345678 …[truncated, 1 bytes]"),
            (b"123456789\r\n", "12345678 …[truncated, 1 bytes]"),
            ("1234567ä\n".as_bytes(), "1234567 …[truncated, 2 bytes]"),
            ("123456大大\n".as_bytes(), "123456 …[truncated, 6 bytes]"),
            (b"1234567\xff8\n", "1234567\u{fffd} …[truncated, 1 bytes]"),
        ];
        for (bytes, line) in rows {
            assert_eq!(split(8, &[bytes]), [*line]);
        }
    }

    #[test]
    fn a_monster_line_costs_bounded_memory() {
        let mut splitter = LineSplitter::new(0);
        for _ in 0..160 {
            assert!(splitter.push(&[b'x'; 64 * 1024]).is_empty());
            assert!(splitter.open.capacity() <= 2 * MAX_LINE);
            assert_eq!(splitter.consumed(), 0);
        }
        let lines = splitter.push(b"\nnext\n");
        assert_eq!(
            lines[0].len(),
            MAX_LINE + " …[truncated, 2097152 bytes]".len()
        );
        assert_eq!(lines[1], "next");
        assert_eq!(splitter.consumed(), 160 * 64 * 1024 + 6);
        assert_eq!(splitter.open.capacity(), 0);
    }

    /// Bytes with ends of lines, halves of letters and everything else.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b'\n'),
            Just(b'\r'),
            Just(0xc3),
            Just(0xa4),
            any::<u8>()
        ];
        proptest::collection::vec(byte, 0..300)
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            bytes in bytes(),
            cuts in proptest::collection::vec(0_usize..300, 0..10),
            limit in 1_usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(limit, &chunks), split(limit, &[&bytes]));
        }

        #[test]
        fn no_line_is_lost(bytes in bytes()) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            let expected: Vec<&str> = expected.iter().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
            prop_assert_eq!(split(MAX_LINE, &[&bytes]), expected);
        }

        #[test]
        fn reading_goes_on_exactly_where_it_was(
            bytes in bytes(),
            crash in 0_usize..300,
            limit in 1_usize..40,
        ) {
            let crash = crash.min(bytes.len());
            let mut before = LineSplitter::with_limit(0, limit);
            let mut lines = before.push(&bytes[..crash]);
            let consumed = before.consumed();
            // everything else that the first one knew is lost
            let mut after = LineSplitter::with_limit(consumed, limit);
            lines.extend(after.push(&bytes[usize::try_from(consumed).unwrap()..]));
            lines.extend(after.finish());
            prop_assert_eq!(lines, split(limit, &[&bytes]));
            prop_assert_eq!(after.consumed(), bytes.len() as u64);
        }
    }
}
