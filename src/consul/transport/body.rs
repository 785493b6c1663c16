//! The body of a reply, by its framing: of a length, in chunks, or until the end of the connection.

use std::io::{self, Read};

use httparse::{EMPTY_HEADER, Status, parse_chunk_size, parse_headers};

use super::incoming::{Broken, Incoming, KEPT, bad};
use super::request::reserve;

/// The library makes no more room than this for bytes that have not come, whatever length the other side tells; and
/// as much as have come.
const STEP: usize = 64 << 10;

/// The longest line between two chunks.
const LONGEST_LINE: usize = 1 << 10;

const MOST_TRAILERS: usize = 128;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// The part of a body that has come.
pub(super) struct Body {
    bytes: Vec<u8>,
    /// So many of the bytes have come, the others are room.
    come: usize,
    limit: usize,
}

impl Body {
    /// A body of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Body {
        Body {
            bytes: Vec::new(),
            come: 0,
            limit,
        }
    }

    /// Reads the whole body.
    pub(super) fn read(
        mut self,
        framing: Framing,
        input: &mut Incoming,
        source: &mut impl Read,
    ) -> Result<Vec<u8>, Broken> {
        match framing {
            Framing::None => {}
            Framing::Length(length) => self.read_part(length, false, input, source)?,
            Framing::Chunked => self.read_chunks(input, source)?,
            Framing::UntilClose => self.read_all(input, source)?,
        }
        self.bytes.truncate(self.come);
        Ok(self.bytes)
    }

    /// Reads so many bytes. `more`: something follows them, and may come with them.
    fn read_part(
        &mut self,
        length: u64,
        more: bool,
        input: &mut Incoming,
        source: &mut impl Read,
    ) -> Result<(), Broken> {
        let length = usize::try_from(length).ok();
        let mut left = length
            .filter(|length| *length <= self.limit - self.come)
            .ok_or(Broken::TooLarge)?;
        left -= self.take(left, input)?;
        while left > 0 {
            if more && left < KEPT {
                input.fill(source)?;
                left -= self.take(left, input)?;
                continue;
            }
            let read = source.read(self.room(left)?)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.come += read;
            left -= read;
        }
        Ok(())
    }

    fn read_chunks(&mut self, input: &mut Incoming, source: &mut impl Read) -> Result<(), Broken> {
        loop {
            let line = input.line(source)?;
            // A line without a size would be the last chunk for the parser.
            let size = match parse_chunk_size(line) {
                Ok(Status::Complete((_, size)))
                    if line.first().is_some_and(u8::is_ascii_hexdigit) =>
                {
                    size
                }
                _ => return Err(bad("a chunk without a size").into()),
            };
            let length = line.len();
            input.used(length);
            if size == 0 {
                return Ok(read_trailers(input, source)?);
            }
            self.read_part(size, true, input, source)?;
            while input.waiting().len() < 2 {
                input.fill(source)?;
            }
            if !input.waiting().starts_with(b"\r\n") {
                return Err(bad("a chunk that is longer than its size").into());
            }
            input.used(2);
        }
    }

    fn read_all(&mut self, input: &mut Incoming, source: &mut impl Read) -> Result<(), Broken> {
        let waiting = input.waiting().len();
        if waiting > self.limit {
            return Err(Broken::TooLarge);
        }
        self.take(waiting, input)?;
        loop {
            // One byte more than the limit shows that there is more.
            let most = self.limit - self.come + 1;
            let read = source.read(self.room(most)?)?;
            match read {
                0 => return Ok(()),
                _ if read == most => return Err(Broken::TooLarge),
                _ => self.come += read,
            }
        }
    }

    /// Takes at most so many bytes of what waits, and says how many.
    fn take(&mut self, most: usize, input: &mut Incoming) -> io::Result<usize> {
        let waiting = input.waiting();
        let some = waiting.get(..most).unwrap_or(waiting);
        self.bytes.truncate(self.come);
        let reserved = self.bytes.try_reserve(some.len());
        reserved.map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.bytes.extend_from_slice(some);
        let taken = some.len();
        self.come += taken;
        input.used(taken);
        Ok(taken)
    }

    /// Room for some of the next `most` bytes. It grows with what has come.
    fn room(&mut self, most: usize) -> io::Result<&mut [u8]> {
        if self.come == self.bytes.len() {
            let more = most.min(self.come.max(STEP));
            reserve(&mut self.bytes, more)?;
            self.bytes.resize(self.come + more, 0);
        }
        let end = self.bytes.len().min(self.come.saturating_add(most));
        Ok(self.bytes.get_mut(self.come..end).unwrap_or_default())
    }
}

impl Incoming {
    /// Waits for a whole line, with its end.
    fn line(&mut self, source: &mut impl Read) -> io::Result<&[u8]> {
        let mut looked = 0;
        loop {
            let news = self.waiting().get(looked..).unwrap_or_default();
            if let Some(at) = news.iter().position(|byte| *byte == b'\n') {
                let line = self.waiting().get(..=looked + at).unwrap_or_default();
                return match line.ends_with(b"\r\n") {
                    true if line.len() <= LONGEST_LINE => Ok(line),
                    _ => Err(bad("a line between chunks that has no end")),
                };
            }
            looked = self.waiting().len();
            if looked > LONGEST_LINE {
                return Err(bad("a line between chunks that is too long"));
            }
            self.fill(source)?;
        }
    }
}

/// Reads the headers after the last chunk, and leaves them out.
fn read_trailers(input: &mut Incoming, source: &mut impl Read) -> io::Result<()> {
    for _ in 0..=MOST_TRAILERS {
        let line = input.line(source)?;
        let length = line.len();
        let parsed = parse_headers(line, &mut [EMPTY_HEADER]).map(|parsed| parsed.is_complete());
        input.used(length);
        match parsed {
            // The blank line.
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(why) => return Err(bad(&why.to_string())),
        }
    }
    Err(bad("trailers without end"))
}
